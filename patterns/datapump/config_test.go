package datapump_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

func TestBadInput(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream("test")
	store, _ := newSQLite(t)
	ctx := t.Context()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	table := func(tb datapump.Table) error {
		_, err := datapump.NewPump(ctx, js, "shops", "p", store, []datapump.Table{tb}, datapump.Config{})
		return err
	}
	pump := func(name, id string, store datapump.Store, cfg datapump.Config) error {
		_, err := datapump.NewPump(ctx, js, name, id, store, storetest.Tables, cfg)
		return err
	}
	cols := []datapump.Column{{Name: "a"}}
	for _, tt := range []struct {
		name string
		err  error
		want error
		text string
	}{
		{"the stream to bind to is missing", pump("shops", "p", store, datapump.Config{Bind: true}), jetstream.ErrStreamNotFound, "SHOPS"},
		{"a write that no stream stores", datapump.Write(ctx, js, "shops", "sales", "1", sale{}), jetstream.ErrNoStreamResponse, "Provision"},
		{"the ID of a pump is not a token", pump("shops", "a.b", store, datapump.Config{}), datapump.ErrID, "a.b"},
		{"the name of a stream is not a token", pump("*", "p", store, datapump.Config{}), datapump.ErrID, `"*"`},
		{"a negative MaxBackoff", pump("shops", "p", store, datapump.Config{MaxBackoff: -1}), datapump.ErrConfig, "MaxBackoff"},
		{"too many replicas", pump("shops", "p", store, datapump.Config{Replicas: 9}), datapump.ErrConfig, "Replicas"},
		{"no store", pump("shops", "p", nil, datapump.Config{}), datapump.ErrConfig, "store"},
		{"no database of SQLite", pump("shops", "p", datapump.SQLite(nil), datapump.Config{}), datapump.ErrConfig, "store"},
		{"no database of PostgreSQL", pump("shops", "p", datapump.Postgres(nil), datapump.Config{}), datapump.ErrConfig, "store"},
		{"no tables", func() error {
			_, err := datapump.NewPump(ctx, js, "shops", "p", store, nil, datapump.Config{})
			return err
		}(), datapump.ErrConfig, "table"},
		{"a table without columns", table(datapump.Table{Name: "x"}), datapump.ErrConfig, "column"},
		{"a table with SQL in its name", table(datapump.Table{Name: `x"; DROP TABLE y; --`, Columns: cols}), datapump.ErrConfig, "Table"},
		{"a column with SQL in its name", table(datapump.Table{Name: "x", Columns: []datapump.Column{{Name: `a"`}}}), datapump.ErrConfig, "column"},
		{"a column twice", table(datapump.Table{Name: "x", Columns: []datapump.Column{{Name: "a"}, {Name: "A"}}}), datapump.ErrConfig, "twice"},
		{"a column of no type", table(datapump.Table{Name: "x", Columns: []datapump.Column{{Name: "a", Type: 9}}}), datapump.ErrConfig, "Type"},
		{"a key that is not a column", table(datapump.Table{Name: "x", Columns: cols, Key: []string{"b"}}), datapump.ErrConfig, "Key"},
		{"a write to a bad table", datapump.Write(ctx, js, "shops", "a.b", "1", sale{}), datapump.ErrID, "a.b"},
		{"a write of a value that does not encode", datapump.Write(ctx, js, "shops", "sales", "1", func() {}), datapump.ErrPayload, "func"},
		{"a write too large", datapump.Write(ctx, js, "shops", "sales", "1", strings.Repeat("x", 2<<20)), nats.ErrMaxPayload, "payload"},
		{"a write when ctx has ended", datapump.Write(ended, js, "shops", "sales", "1", sale{}), context.Canceled, "write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.ErrorIs(t, tt.err, tt.want)
			require.ErrorContains(t, tt.err, tt.text)
			require.True(t, strings.HasPrefix(tt.err.Error(), "datapump: "), "%v", tt.err)
		})
	}
	for field, cfg := range map[string]datapump.Config{
		"Batch": {Batch: -1}, "Timeout": {Timeout: -1}, "Grace": {Grace: -1}, "MaxBytes": {MaxBytes: -1}, "Replicas": {Replicas: -1},
	} {
		err := pump("shops", "p", store, cfg)
		require.ErrorIs(t, err, datapump.ErrConfig)
		require.ErrorContains(t, err, field)
	}
}

// NewPump refuses a stream that is weaker than asked, and Provision strengthens it.
// Both accept a stream that is stronger.
func TestStreams(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := newSQLite(t)
	for name, tt := range map[string]struct {
		weaker string // field; empty if the stream is stronger
		change func(*jetstream.StreamConfig)
	}{
		"messages expire":                      {"MaxAge", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
		"old messages are discarded":           {"Discard", func(c *jetstream.StreamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardOld, 1<<20 }},
		"the duplicate window is shorter":      {"Duplicates", func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }},
		"messages are in memory":               {"Storage", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }},
		"only the last of a subject is stored": {"MaxMsgsPerSubject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }},
		"the stream has a limit and refuses":   {"", func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }},
		"the duplicate window is longer":       {"", func(c *jetstream.StreamConfig) { c.Duplicates = time.Hour }},
		"the stream is compressed":             {"", func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression }},
	} {
		t.Run(name, func(t *testing.T) {
			js := natstest.Start(t).JetStream("test")
			for _, config := range []func(string, datapump.Config) (jetstream.StreamConfig, error){datapump.StreamConfig, datapump.RejectedStreamConfig} {
				want, err := config("shops", datapump.Config{})
				require.NoError(t, err)
				tt.change(&want)
				_, err = js.CreateStream(ctx, want)
				require.NoError(t, err)
			}
			_, err := datapump.NewPump(ctx, js, "shops", "p", store, storetest.Tables, datapump.Config{})
			if tt.weaker != "" {
				require.ErrorIs(t, err, datapump.ErrMismatch)
				require.ErrorContains(t, err, tt.weaker)
				if tt.weaker == "Storage" {
					require.ErrorContains(t, datapump.Provision(ctx, js, "shops", datapump.Config{}), "storage") // the server cannot change it
					return
				}
				require.NoError(t, datapump.Provision(ctx, js, "shops", datapump.Config{}))
				_, err = datapump.NewPump(ctx, js, "shops", "p", store, storetest.Tables, datapump.Config{Bind: true})
			}
			require.NoError(t, err)
		})
	}
}
