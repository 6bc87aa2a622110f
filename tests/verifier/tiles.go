package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles are what tlog reads hashes from: the server's, each by one request and exactly as wide as asked for.
type tiles struct {
	ctx context.Context
	url string
}

// hashes are those of the log's tree: tlog checks each tile against the root before it takes a hash of it.
func (log *opened) hashes(ctx context.Context) tlog.HashReader {
	return tlog.TileHashReader(log.tree, tiles{ctx, log.url})
}

func (tiles) Height() int { return torchwood.TileHeight }

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	read := make([][]byte, len(wanted))
	for place, tile := range wanted {
		bytes, err := t.read(torchwood.TilePath(tile))
		if err != nil {
			return nil, err
		}
		read[place] = bytes
	}
	return read, nil
}

func (t tiles) read(path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(t.ctx, http.MethodGet, strings.TrimSuffix(t.url, "/")+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}
