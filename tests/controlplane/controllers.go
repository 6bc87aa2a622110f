package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

// newControllers describes the process that runs the two controllers, and the one node. The whole controller
// manager would do it too, and is far larger.
func newControllers(dir string, port, nodePort int, cred *credentials) *child {
	readyFile := filepath.Join(dir, "controllers.ready")
	c := &child{
		name: "controllers",
		args: []string{
			"controllers",
			"--server=" + serverURL(port),
			"--certificate-authority=" + cred.ca,
			"--tokens=" + cred.tokens,
			"--node-port=" + strconv.Itoa(nodePort),
			"--tls-cert-file=" + cred.servingCert,
			"--tls-private-key-file=" + cred.servingKey,
			"--ready-file=" + readyFile,
		},
		log: filepath.Join(dir, "controllers.log"),
	}
	c.ready = func(context.Context) error {
		ready, err := os.ReadFile(readyFile)
		if err != nil {
			return err
		}
		if string(ready) != strconv.Itoa(c.running.Pid) { // left by a former process
			return fmt.Errorf("%s names process %s, not %d", readyFile, ready, c.running.Pid)
		}
		return nil
	}
	return c
}

// runControllers runs the namespace controller and the garbage collector, as kube-controller-manager wires
// them, and the node, until the process is killed.
func runControllers(args []string) error {
	flags := flag.NewFlagSet("controllers", flag.ExitOnError)
	server := flags.String("server", "", "URL of the API server")
	authority := flags.String("certificate-authority", "", "file with the certificates that sign the server's")
	tokens := flags.String("tokens", "", "folder with one file a controller, its token in it")
	nodePort := flags.Int("node-port", 0, "port of 127.0.0.1 for the node to serve on")
	certFile := flags.String("tls-cert-file", "", "file with the node's serving certificate")
	keyFile := flags.String("tls-private-key-file", "", "file with the key of that")
	readyFile := flags.String("ready-file", "", "file to write the process id to when the controllers have seen the whole cluster")
	_ = flags.Parse(args) // exits on an error

	connect := func(name string) (*kubernetes.Clientset, metadata.Interface, error) {
		config := &rest.Config{
			Host:            *server,
			BearerTokenFile: filepath.Join(*tokens, name),
			UserAgent:       rest.DefaultKubernetesUserAgent() + "/" + name,
			TLSClientConfig: rest.TLSClientConfig{CAFile: *authority},
			QPS:             -1, // no limit of its own: the API server has one
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, nil, err
		}
		metadataClient, err := metadata.NewForConfig(config)
		return client, metadataClient, err
	}

	ctx := context.Background()
	namespacesSynced, err := startNamespaceController(ctx, connect)
	if err != nil {
		return fmt.Errorf("namespace controller: %w", err)
	}
	graphSynced, err := startGarbageCollector(ctx, connect)
	if err != nil {
		return fmt.Errorf("garbage collector: %w", err)
	}
	client, _, err := connect(nodeRegistrar)
	if err == nil {
		err = startNode(ctx, client, *nodePort, *certFile, *keyFile)
	}
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}

	_ = poll(ctx, 20*time.Millisecond, func(context.Context) error {
		if namespacesSynced() && graphSynced() {
			return nil
		}
		return errors.New("not synced")
	})
	if err := os.WriteFile(*readyFile, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	select {}
}

type connector func(name string) (*kubernetes.Clientset, metadata.Interface, error)

func startNamespaceController(ctx context.Context, connect connector) (synced func() bool, err error) {
	client, metadataClient, err := connect(namespaceController)
	if err != nil {
		return nil, err
	}
	shared := informers.NewSharedInformerFactory(client, 0)
	namespaces := shared.Core().V1().Namespaces()
	controller := namespace.NewNamespaceController(ctx, client, metadataClient,
		client.Discovery().ServerPreferredNamespacedResources, namespaces, 5*time.Minute, corev1.FinalizerKubernetes)
	shared.Start(ctx.Done())
	go controller.Run(ctx, 10)
	return namespaces.Informer().HasSynced, nil
}

func startGarbageCollector(ctx context.Context, connect connector) (synced func() bool, err error) {
	client, metadataClient, err := connect(garbageCollector)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	shared := informerfactory.NewInformerFactory(
		informers.NewSharedInformerFactory(client, 0),
		metadatainformer.NewSharedInformerFactory(metadataClient, 0))
	started := make(chan struct{})
	collector, err := garbagecollector.NewGarbageCollector(ctx, client, metadataClient, mapper,
		garbagecollector.DefaultIgnoredResources(), shared, started)
	if err != nil {
		return nil, err
	}
	shared.Start(ctx.Done())
	close(started)
	go collector.Run(ctx, 20, 30*time.Second)
	// How soon the owners of a new CRD's objects count: every 30 seconds in kube-controller-manager, which
	// no test wants to wait for.
	go collector.Sync(ctx, client.Discovery(), 2*time.Second)
	return func() bool { return collector.IsSynced(klog.FromContext(ctx)) }, nil
}
