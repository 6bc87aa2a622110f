// Command controlplane is a real Kubernetes control plane for tests and demos, in one binary: etcd,
// the API server, and the two controllers without which deleting is not real: namespace termination and
// garbage collection (owner references). A pod is stored and never runs. There is one node, "loopback", which
// forwards ports: a pod that is bound to it and said to run is taken to have the network of this machine.
//
//	controlplane up --dir DIR [--fsync] [--keep] [--no-stdin]
//
// starts everything on 127.0.0.1, with RBAC and TLS as in any cluster. When the API server is ready it
// prints one line:
//
//	{"kubeconfig":"DIR/kubeconfig","server":"https://127.0.0.1:PORT","pids":{"etcd":1,"apiserver":2,"controllers":3}}
//
// From then on it takes commands on standard input, one a line, and answers each with one line of JSON.
// NAME is etcd, apiserver or controllers.
//
//	kill NAME      {"killed":NAME}            SIGKILL; answers when the process is gone
//	start NAME     {"started":NAME,"pid":N}   same port, same data; answers when it serves again
//	stop NAME      {"stopped":NAME}           SIGSTOP; answers when every thread stands still
//	continue NAME  {"continued":NAME}         SIGCONT
//	anything else  {"error":"…"}
//
// With KUBEBUILDER_ASSETS set, etcd and kube-apiserver are the programs in that folder.
//
// Guarantees:
//   - No process outlives `up`, however it ends: the kernel kills the children of a killed parent.
//   - The end of standard input (so, the death of the test that holds the pipe), SIGTERM, SIGINT and
//     SIGHUP kill the children, remove DIR unless --keep, and exit 0. The end of the input is acted on at
//     once, also while commands wait.
//   - A child that dies without having been told to ends everything, DIR too: its last log lines go to
//     standard error, and the exit status is 1.
//   - A port stays this control plane's own while its server is down.
//
// Assumptions: Linux; DIR is new or empty. It holds the administrator's kubeconfig, every key, the logs
// (etcd.log, apiserver.log, controllers.log) and etcd's data, all readable by the owner only. Only after
// SIGKILL is it left behind.
//
// Caveats: a namespace takes five seconds to go, a delay of Kubernetes' own. Namespaces get no
// ServiceAccount "default". An API server that just started may refuse with 403 what it grants a moment
// later, here as in any cluster. etcd does not sync to disk unless --fsync, so its data survives the death
// of processes, not of the machine; and it listens on loopback without TLS, open to whoever can run
// programs here.
package main

import (
	"fmt"
	"os"
	"runtime"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"

	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, as the API server's own main has
	_ "k8s.io/component-base/metrics/prometheus/version"
)

const usage = `usage:
  controlplane up --dir DIR [--fsync] [--keep] [--no-stdin]
  controlplane version

run by "up", and of little use alone:
  controlplane etcd …          flags of etcd
  controlplane apiserver …     flags of kube-apiserver
  controlplane controllers …   --server --certificate-authority --tokens --ready-file
`

func main() {
	// Children are forked from this goroutine only, and their lives hang on its thread (see child.start).
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if err := stampVersion(); err != nil {
		return fail(err)
	}
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "up":
		return up(args[1:])
	case "etcd":
		etcdmain.Main(args)
		return 0
	case "apiserver":
		server := app.NewAPIServerCommand()
		server.SetArgs(args[1:])
		return cli.Run(server)
	case "controllers":
		if err := runControllers(args[1:]); err != nil {
			return fail(err)
		}
		return 0
	case "version":
		printVersions(os.Stdout)
		return 0
	case "help", "-h", "--help":
		fmt.Print(usage)
		return 0
	default:
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "controlplane:", err)
	return 1
}
