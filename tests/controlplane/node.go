package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// nodeName is the one node. A pod that is bound to it, and said to run, is taken to have the network of this
// machine: its port is that port of 127.0.0.1.
const nodeName = "loopback"

// What a kubelet has unless told otherwise.
const (
	streamIdleTimeout     = 4 * time.Hour
	streamCreationTimeout = 30 * time.Second
)

// startNode serves what a kubelet serves for port forwarding, with the kubelet's own library, and makes the
// node known to the API server, which then leads `pods/portforward` there. It asks nobody who they are: it
// gives nothing but ports of loopback, open to whoever can run programs here.
func startNode(ctx context.Context, client *kubernetes.Clientset, port int, cert, key string) error {
	listen := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) (err error) {
		failed := socket.Control(func(fd uintptr) { // see reservePort
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		if failed != nil {
			return failed
		}
		return err
	}}
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, loopback{}, r.PathValue("pod"), "", options,
			streamIdleTimeout, streamCreationTimeout, portforward.SupportedProtocols)
	})
	server := &http.Server{
		Handler:      mux,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/2 cannot be upgraded
	}
	go func() { _ = server.ServeTLS(listener, cert, key) }() // until the process is killed

	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName},
		Status: corev1.NodeStatus{
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(port)}},
			Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	// A former process has made it, with the same port.
	if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the node known: %w", err)
	}
	return nil
}

// loopback is the network that all pods are in.
type loopback struct{}

// PortForward carries bytes between a stream and a port, until both have said all.
func (loopback) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	var dialer net.Dialer
	opened, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	conn := opened.(*net.TCPConn)
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, stream) // whoever asks is gone, or the pod is, which the other direction tells
		_ = conn.CloseWrite()
	}()
	_, err = io.Copy(stream, conn)
	return err
}
