// Command verifier checks a log that dualaudit serves with programs that others wrote for logs of this
// format, and knows nothing of dualaudit but the format of its leaves.
//
//	verifier check [-old FILE] [-save FILE] [-witness KEY] URL KEY
//
// URL is that of the log (http://127.0.0.1:8080/api/v1/log/http), KEY its public key. Read and checked are the
// checkpoint (golang.org/x/mod/sumdb/note), that single entries are in the log (…/sumdb/tlog), every entry
// (filippo.io/torchwood) and every tile (tessera's fsck); with -old, that the log extends the checkpoint in
// that file (tlog, and tessera's client); with -witness, that this witness cosigned the checkpoint
// (transparency-dev/formats). Each check is a line of standard output, "NAME: holds" or "NAME: fails: WHY"; when
// all hold, "size: N" follows, and -save keeps the checkpoint. Otherwise the exit status is 1.
//
//	verifier agent SOCKET
//
// is an ssh-agent with one new Ed25519 key, as filippo.io/torchwood's litewitness signs by. It prints the key's
// fingerprint, and ends with its standard input.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

// patience is how long all of it may take.
const patience = 50 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "verifier:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: verifier check [-old FILE] [-save FILE] [-witness KEY] URL KEY | verifier agent SOCKET")

func run(arguments []string) error {
	if len(arguments) == 2 && arguments[0] == "agent" {
		return serveAgent(arguments[1])
	}
	if len(arguments) == 0 || arguments[0] != "check" {
		return errUsage
	}
	var asked check
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.StringVar(&asked.old, "old", "", "a file with an older checkpoint, which the log must extend")
	flags.StringVar(&asked.save, "save", "", "a file to keep the checkpoint in")
	flags.StringVar(&asked.witness, "witness", "", "the key of a witness that must have cosigned")
	if err := flags.Parse(arguments[1:]); err != nil || flags.NArg() != 2 {
		return errUsage
	}
	asked.url, asked.key = flags.Arg(0), flags.Arg(1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return asked.run(ctx)
}
