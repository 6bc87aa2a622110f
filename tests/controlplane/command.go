package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// answer is the line that answers a command: what was done, to whom.
type answer struct {
	Killed    string `json:"killed,omitempty"`
	Started   string `json:"started,omitempty"`
	Pid       int    `json:"pid,omitempty"` // with started
	Stopped   string `json:"stopped,omitempty"`
	Continued string `json:"continued,omitempty"`
	Error     string `json:"error,omitempty"`
}

// obey carries out one line of standard input. A child that dies meanwhile, or never becomes ready, is an
// error in the answer; the former also ends ctx.
func (p *plane) obey(ctx context.Context, end context.CancelCauseFunc, command string) answer {
	verb, name, _ := strings.Cut(strings.TrimSpace(command), " ")
	target := slices.IndexFunc(p.children, func(c *child) bool { return c.name == name })
	if target < 0 || !slices.Contains([]string{"kill", "start", "stop", "continue"}, verb) {
		return answer{Error: fmt.Sprintf(
			"unknown command %q: expected kill, start, stop or continue, then etcd, apiserver or controllers", command)}
	}
	result, err := p.children[target].obey(ctx, end, verb)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return result
}

func (c *child) obey(ctx context.Context, end context.CancelCauseFunc, verb string) (answer, error) {
	switch {
	case verb == "start" && c.running != nil:
		return answer{}, fmt.Errorf("%s is already running, as process %d", c.name, c.running.Pid)
	case verb == "start":
		if err := c.startAndWait(ctx, end); err != nil {
			return answer{}, err
		}
		return answer{Started: c.name, Pid: c.running.Pid}, nil
	case c.running == nil:
		return answer{}, fmt.Errorf("%s is not running: it was killed and not started again", c.name)
	case verb == "kill":
		c.kill()
		return answer{Killed: c.name}, nil
	case verb == "stop":
		return answer{Stopped: c.name}, c.suspend(ctx)
	default:
		return answer{Continued: c.name}, c.running.Signal(syscall.SIGCONT)
	}
}
