package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reservePort takes a free port of 127.0.0.1 and keeps it for the life of this process, also while the
// server behind it is down: it binds a socket with SO_REUSEPORT and never listens on it. A server of the
// same user that sets the option too can bind and listen beside it; the kernel gives the port to nobody
// who asks for a free one, and refuses connections while there is no server. So no other process can take
// the port between the choice and the start, or between a kill and a start.
func reservePort() (int, error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket: %w", err)
	}
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, fmt.Errorf("set SO_REUSEPORT: %w", err)
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, fmt.Errorf("bind a free port of 127.0.0.1: %w", err)
	}
	bound, err := unix.Getsockname(socket)
	if err != nil {
		return 0, fmt.Errorf("ask which port was bound: %w", err)
	}
	return bound.(*unix.SockaddrInet4).Port, nil
}
