package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
)

// errDown is why we end when we were told to.
var errDown = errors.New("told to end")

// up runs the control plane until it is told to end, and returns the exit status.
func up(args []string) int {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	dir := flags.String("dir", "", "folder for everything, new or empty; removed at the end")
	fsync := flags.Bool("fsync", false, "let etcd sync every write to disk")
	keep := flags.Bool("keep", false, "leave the folder behind")
	noStdin := flags.Bool("no-stdin", false, "read no commands and live until SIGTERM or SIGINT")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *dir == "" || flags.NArg() > 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}

	path, err := makeDir(*dir)
	if err != nil {
		return fail(err)
	}
	if !*keep {
		defer os.RemoveAll(path)
	}

	ctx, end := context.WithCancelCause(context.Background())
	listenForSignals(end)
	var commands <-chan string // stays nil, and silent, with --no-stdin
	if !*noStdin {
		commands = readCommands(os.Stdin, end)
	}

	plane, err := newPlane(path, *fsync)
	if err != nil {
		return fail(err)
	}
	defer plane.killAll()
	if err := plane.run(ctx, end, commands, json.NewEncoder(os.Stdout)); !errors.Is(err, errDown) {
		return fail(err)
	}
	return 0
}

// makeDir returns the absolute path. It refuses a folder with anything in it: the folder is removed at the
// end, and somebody else's files are not ours to remove.
func makeDir(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("--dir %s is not empty (it holds %s): name a new folder, or remove it first", path, entries[0].Name())
	}
	return path, os.Chmod(path, 0o700)
}

func listenForSignals(end context.CancelCauseFunc) {
	signals := make(chan os.Signal, 1)
	// SIGPIPE only so that writing to a reader that is gone is an error and not our death.
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) { // as it is under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		for received := range signals {
			if received != syscall.SIGPIPE {
				end(errDown)
			}
		}
	}()
}

// readCommands sends each line of input, and ends everything when there are no more. The buffer lets the
// end be seen while a command runs and others wait.
func readCommands(input io.Reader, end context.CancelCauseFunc) <-chan string {
	commands := make(chan string, 1024)
	go func() {
		lines := bufio.NewScanner(input)
		for lines.Scan() {
			commands <- lines.Text()
		}
		end(errDown)
	}()
	return commands
}

type plane struct {
	kubeconfig, server string
	children           []*child // in the order they start
}

// greeting is the line that says that all is ready.
type greeting struct {
	Kubeconfig string `json:"kubeconfig"`
	Server     string `json:"server"`
	Pids       pids   `json:"pids"`
}

type pids struct {
	Etcd        int `json:"etcd"`
	APIServer   int `json:"apiserver"`
	Controllers int `json:"controllers"`
}

func newPlane(dir string, fsync bool) (*plane, error) {
	var ports [4]int
	for i := range ports {
		var err error
		if ports[i], err = reservePort(); err != nil {
			return nil, err
		}
	}
	credentials, err := issueCredentials(dir)
	if err != nil {
		return nil, err
	}
	p := &plane{
		kubeconfig: filepath.Join(dir, "kubeconfig"),
		server:     serverURL(ports[2]),
		children: []*child{
			newEtcd(dir, ports[0], ports[1], fsync),
			newAPIServer(dir, ports[2], ports[0], credentials),
			newControllers(dir, ports[2], ports[3], credentials),
		},
	}
	return p, credentials.writeKubeconfig(p.kubeconfig, p.server)
}

// run starts the children, greets, and answers commands. It returns why it ended, never nil.
func (p *plane) run(ctx context.Context, end context.CancelCauseFunc, commands <-chan string, out *json.Encoder) error {
	for _, c := range p.children {
		err := c.startAndWait(ctx, end)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
	hello := greeting{p.kubeconfig, p.server,
		pids{p.children[0].running.Pid, p.children[1].running.Pid, p.children[2].running.Pid}}
	if err := out.Encode(hello); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case command := <-commands:
			reply := p.obey(ctx, end, command)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := out.Encode(reply); err != nil {
				return err
			}
		}
	}
}

func (p *plane) killAll() {
	for _, c := range slices.Backward(p.children) {
		c.kill()
	}
}
