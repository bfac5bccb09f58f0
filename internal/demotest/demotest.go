// Package demotest holds a demo to its recorded transcript and sequence diagram.
// UPDATE_GOLDEN=1 in the environment records them anew.
package demotest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/wire"
)

// A diagram of more arrows than this is a wall, not a picture.
const maxArrows = 40

// Golden performs the play on a fake clock, in no time, and compares what it
// printed and sent with testdata/transcript.txt and testdata/sequence.mmd.
func Golden(t *testing.T, p demo.Play) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		perform(t, p, demo.Stage{Server: s.Server, Memory: true})
		js, err := jetstream.New(s.Connect("golden"))
		require.NoError(t, err)
		require.NoError(t, p.CheckStreams(t.Context(), js))
	})
}

// GoldenReal is Golden on the real clock, for plays that need TCP between servers.
// Nothing in its recordings is dated, and only effects whose order is certain may
// be printed.
func GoldenReal(t *testing.T, p demo.Play) {
	s := natstest.Start(t)
	perform(t, p, demo.Stage{Server: s.Server, Memory: true, Undated: true})
}

func perform(t *testing.T, p demo.Play, stage demo.Stage) {
	t.Helper()
	var out bytes.Buffer
	stage.Out, stage.Recorder = &out, &wire.Recorder{}
	start := time.Now()
	require.NoError(t, p.Perform(t.Context(), stage))
	diagram, arrows := wire.Mermaid(start, p.Scene[0], p.Scene[1], stage.Recorder.Events(), !stage.Undated, p.Draw)
	compare(t, "transcript.txt", bytes.TrimLeft(out.Bytes(), "\n"))
	if !stage.Undated {
		compare(t, "sequence.mmd", []byte(diagram))
		require.LessOrEqual(t, arrows, maxArrows, "arrows in the diagram; set Play.Scene, or Draw, to what it should show")
	}
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.MkdirAll("testdata", 0o777))
		require.NoError(t, os.WriteFile(file, got, 0o666))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "record it with UPDATE_GOLDEN=1")
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from this run; if the change is meant, record it with UPDATE_GOLDEN=1\n--- got\n%s\n--- want\n%s", file, got, want)
	}
}
