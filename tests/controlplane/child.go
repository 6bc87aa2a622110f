package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// startTimeout is for a slow and busy machine; an idle one needs a second or two for each child.
const startTimeout = 2 * time.Minute

// child is one process of the control plane: this program again, under another subcommand, which is the
// first of its args.
type child struct {
	name  string
	asset string // what KUBEBUILDER_ASSETS has for it, if it may be taken from there
	args  []string
	log   string
	ready func(context.Context) error // nil when it serves

	running *process // nil while it is down on purpose
}

type process struct {
	*os.Process
	exited chan struct{}
	killed atomic.Bool // set before we kill it, so that its end is no surprise
}

// start forks the child, its output appended to its log. died is called, from another goroutine, if it ends
// other than by kill.
//
// The kernel sends Pdeathsig when the thread that forked ends, not the process. So this must run on a
// goroutine locked to a thread that lives as long as the process.
func (c *child) start(died func(error)) error {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()

	cmd := c.command()
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own, so that Ctrl-C in a terminal reaches only `up`.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}

	started := &process{Process: cmd.Process, exited: make(chan struct{})}
	c.running = started
	go func() {
		_ = cmd.Wait() // the state says more
		close(started.exited)
		if !started.killed.Load() {
			died(fmt.Errorf("%s died (%s); the end of its log:\n%s", c.name, cmd.ProcessState, c.logTail()))
		}
	}()
	return nil
}

func (c *child) command() *exec.Cmd {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" && c.asset != "" {
		return exec.Command(filepath.Join(assets, c.asset), c.args[1:]...)
	}
	// Not the path: the file may have been rebuilt since.
	cmd := exec.Command("/proc/self/exe", c.args...)
	cmd.Args[0] = "controlplane"
	return cmd
}

// startAndWait starts the child and returns when it serves.
func (c *child) startAndWait(ctx context.Context, died func(error)) error {
	if err := c.start(died); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %s", startTimeout))
	defer cancel()
	if err := poll(ctx, 10*time.Millisecond, c.ready); err != nil {
		return fmt.Errorf("%s: %w; the end of its log:\n%s", c.name, err, c.logTail())
	}
	return nil
}

// kill ends the child with SIGKILL, running or stopped, and returns when it is reaped.
func (c *child) kill() {
	if c.running == nil {
		return
	}
	c.running.killed.Store(true)
	_ = c.running.Kill() // fails only where it is already dead
	<-c.running.exited
	c.running = nil
}

// suspend stops the child with SIGSTOP and returns when the kernel reports it stopped.
func (c *child) suspend(ctx context.Context) error {
	if err := c.running.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return poll(ctx, time.Millisecond, func(context.Context) error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.running.Pid))
		if err != nil {
			return err
		}
		// "pid (name) state …", proc_pid_stat(5); the name may hold anything, a parenthesis too.
		state := bytes.TrimLeft(stat[bytes.LastIndexByte(stat, ')')+1:], " ")
		if !bytes.HasPrefix(state, []byte("T")) {
			return fmt.Errorf("%s is in state %.1s", c.name, state)
		}
		return nil
	})
}

// logTail returns the last lines of the child's log.
func (c *child) logTail() string {
	log, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(log), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// environment is what the children see of ours: where to put temporary files, and the settings of the Go
// runtime. Everything else could change what they do: etcd takes settings from ETCD_…, Kubernetes takes
// feature gates from KUBE_FEATURE_…, and both take proxies.
func environment() []string {
	var kept []string
	for _, name := range []string{"TMPDIR", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOTRACEBACK"} {
		if value, ok := os.LookupEnv(name); ok {
			kept = append(kept, name+"="+value)
		}
	}
	return kept
}

// poll calls attempt until it succeeds. When ctx ends first it returns why, with the last failure.
func poll(ctx context.Context, every time.Duration, attempt func(context.Context) error) error {
	for {
		err := attempt(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%v)", context.Cause(ctx), err)
		case <-time.After(every):
		}
	}
}
