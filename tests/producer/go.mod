module dualaudit.dev/producer

go 1.26
