package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"

	"filippo.io/torchwood"
	formats "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// check is what is asked for.
type check struct {
	url, key, old, save, witness string
}

// errFails is for logs that are not what they should be.
var errFails = errors.New("the log is not what it should be")

// opened is a log whose checkpoint was verified.
type opened struct {
	raw     []byte
	tree    tlog.Tree
	key     note.Verifier
	fetched *client.HTTPFetcher
	url     string
}

// named is one of the checks of a log.
type named struct {
	name  string
	holds func(context.Context) error
}

// run makes all checks, and says of each whether it holds. The error is errFails when one does not.
func (c check) run(ctx context.Context) error {
	log, err := c.open(ctx)
	if !told("checkpoint", err) {
		return errFails
	}
	checks := []named{{"inclusion", log.inclusion}, {"entries", log.entries}, {"fsck", log.fsck}}
	if c.old != "" {
		old, err := os.ReadFile(c.old)
		if err != nil {
			return err
		}
		checks = append(checks,
			named{"consistency", func(ctx context.Context) error { return log.consistency(ctx, old) }},
			named{"tracker", func(ctx context.Context) error { return log.track(ctx, old) }})
	}
	for _, check := range checks {
		if !told(check.name, check.holds(ctx)) {
			err = errFails
		}
	}
	if err != nil {
		return err
	}
	fmt.Printf("size: %d\n", log.tree.N)
	if c.save == "" {
		return nil
	}
	return os.WriteFile(c.save, log.raw, 0o600)
}

// told says whether a check holds, and if not, why.
func told(name string, err error) bool {
	if err != nil {
		// fsck shows whole tiles.
		fmt.Printf("%s: fails: %.300v\n", name, err)
		return false
	}
	fmt.Printf("%s: holds\n", name)
	return true
}

// open fetches the checkpoint, and verifies who signed it.
func (c check) open(ctx context.Context) (*opened, error) {
	root, err := url.Parse(c.url)
	if err != nil {
		return nil, err
	}
	fetched, err := client.NewHTTPFetcher(root, nil)
	if err != nil {
		return nil, err
	}
	raw, err := fetched.ReadCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	key, err := note.NewVerifier(c.key)
	if err != nil {
		return nil, fmt.Errorf("the log's key: %w", err)
	}
	needed := []note.Verifier{key}
	if c.witness != "" {
		witness, err := formats.NewVerifierForCosignatureV1(c.witness)
		if err != nil {
			return nil, fmt.Errorf("the witness's key: %w", err)
		}
		needed = append(needed, witness)
	}
	checkpoint, err := verified(raw, needed...)
	if err != nil {
		return nil, err
	}
	return &opened{raw, checkpoint.Tree, key, fetched, c.url}, nil
}

// verified is the checkpoint in a note that each of these keys must have signed, the first of them the log's.
func verified(raw []byte, needed ...note.Verifier) (torchwood.Checkpoint, error) {
	signed, err := note.Open(raw, note.VerifierList(needed...))
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	for _, key := range needed {
		if !slices.ContainsFunc(signed.Sigs, func(by note.Signature) bool {
			return by.Name == key.Name() && by.Hash == key.KeyHash()
		}) {
			return torchwood.Checkpoint{}, fmt.Errorf("%s did not sign it", key.Name())
		}
	}
	checkpoint, err := torchwood.ParseCheckpoint(signed.Text)
	if err == nil && checkpoint.Origin != needed[0].Name() {
		err = fmt.Errorf("it is one of %s", checkpoint.Origin)
	}
	return checkpoint, err
}

// inclusion proves single entries by tiles that tlog asks for: the first and the last, those at the edges of
// tiles, and some others.
func (log *opened) inclusion(ctx context.Context) error {
	size := log.tree.N
	indexes := []int64{0, size - 1}
	for edge := int64(torchwood.TileWidth); edge < size; edge += torchwood.TileWidth {
		indexes = append(indexes, edge-1, edge)
	}
	for range 16 {
		indexes = append(indexes, rand.Int64N(size))
	}
	hashes := log.hashes(ctx)
	for _, index := range indexes {
		if err := log.includes(ctx, hashes, index); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
	}
	return nil
}

func (log *opened) includes(ctx context.Context, hashes tlog.HashReader, index int64) error {
	bundle, err := client.GetEntryBundle(ctx, log.fetched.ReadEntryBundle, uint64(index)/torchwood.TileWidth, uint64(log.tree.N))
	if err != nil {
		return err
	}
	within := int(index % torchwood.TileWidth)
	if within >= len(bundle.Entries) {
		return fmt.Errorf("its bundle has %d entries only", len(bundle.Entries))
	}
	leaf := bundle.Entries[within]
	var said struct{ Index *int64 }
	if err := json.Unmarshal(leaf, &said); err != nil || said.Index == nil || *said.Index != index {
		return fmt.Errorf("its leaf says otherwise: %s", leaf)
	}
	proof, err := tlog.ProveRecord(log.tree.N, index, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, log.tree.N, log.tree.Hash, index, tlog.RecordHash(leaf))
}

// entries reads each entry, as who follows a log does.
func (log *opened) entries(ctx context.Context) error {
	tiles, err := torchwood.NewTileFetcher(log.url)
	if err != nil {
		return err
	}
	reader, err := torchwood.NewClient(tiles)
	if err != nil {
		return err
	}
	// The last, partial tile is left for another turn.
	for next := int64(0); next < log.tree.N; {
		from := next
		for index := range reader.Entries(ctx, log.tree, from) {
			if index != next {
				return fmt.Errorf("entry %d comes in the place of %d", index, next)
			}
			next++
		}
		if err := reader.Err(); err != nil {
			return err
		}
		if next == from {
			return fmt.Errorf("no entry comes after %d of %d", next, log.tree.N)
		}
	}
	return nil
}

// fsck builds the tree anew out of the entries, and compares every tile.
func (log *opened) fsck(ctx context.Context) error {
	leafHashes := func(bundle []byte) ([][]byte, error) {
		var entries api.EntryBundle
		if err := entries.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		hashes := make([][]byte, len(entries.Entries))
		for place, entry := range entries.Entries {
			hashes[place] = rfc6962.DefaultHasher.HashLeaf(entry)
		}
		return hashes, nil
	}
	return fsck.New(log.key.Name(), log.key, log.fetched, leafHashes, fsck.Opts{N: 2}).Check(ctx)
}

// consistency proves by tlog that the log extends an older checkpoint.
func (log *opened) consistency(ctx context.Context, raw []byte) error {
	old, err := verified(raw, log.key)
	if err != nil {
		return fmt.Errorf("the old checkpoint: %w", err)
	}
	proof, err := tlog.ProveTree(log.tree.N, old.N, log.hashes(ctx))
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, log.tree.N, log.tree.Hash, old.N, old.Hash)
}

// track lets tessera's client go on from an older checkpoint, as one that runs for long does.
func (log *opened) track(ctx context.Context, old []byte) error {
	newest := func(context.Context) ([]byte, error) { return log.raw, nil }
	tracker, err := client.NewLogStateTracker(
		ctx, log.fetched.ReadTile, old, log.key, log.key.Name(), client.UnilateralConsensus(newest))
	if err != nil {
		return err
	}
	if _, _, _, err := tracker.Update(ctx); err != nil {
		return err
	}
	if tracked := tracker.Latest(); tracked.Size != uint64(log.tree.N) {
		return fmt.Errorf("it stays at %d entries", tracked.Size)
	}
	return nil
}
