package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
)

// newEtcd describes a cluster of one member.
func newEtcd(dir string, clientPort, peerPort int, fsync bool) *child {
	client := fmt.Sprintf("http://127.0.0.1:%d", clientPort)
	peer := fmt.Sprintf("http://127.0.0.1:%d", peerPort)
	args := []string{
		"etcd",
		"--name=controlplane",
		"--data-dir=" + filepath.Join(dir, "etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=controlplane=" + peer,
		"--socket-reuse-port", // see reservePort
		// A member alone elects itself as soon as its clock allows: a tenth of the default, half a second less.
		"--heartbeat-interval=10",
		"--election-timeout=100",
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
	}
	if !fsync {
		args = append(args, "--unsafe-no-fsync")
	}
	return &child{
		name:  "etcd",
		asset: "etcd",
		args:  args,
		log:   filepath.Join(dir, "etcd.log"),
		ready: func(ctx context.Context) error {
			return get(ctx, http.DefaultClient, client+"/readyz", "")
		},
	}
}
