package datapump_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/postgres"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

const benchRows = 20_000

// filled is a stream that holds rows, reached over TCP.
func filled(b *testing.B) jetstream.JetStream {
	nc, err := nats.Connect(natstest.Listen(b).ClientURL())
	require.NoError(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	require.NoError(b, err)
	require.NoError(b, datapump.Provision(b.Context(), js, "shops", datapump.Config{}))
	fill(b, js, benchRows)
	return js
}

// load brings the rows of the stream to put, decoded, with nats.go alone.
func load(b *testing.B, js jetstream.JetStream, put func(sale) error) {
	cons, err := js.OrderedConsumer(b.Context(), "SHOPS", jetstream.OrderedConsumerConfig{})
	require.NoError(b, err)
	msgs, err := cons.Messages()
	require.NoError(b, err)
	defer msgs.Stop()
	for range benchRows {
		msg, err := msgs.Next()
		if err != nil {
			b.Fatal(err)
		}
		var row sale
		if err := json.Unmarshal(msg.Data(), &row); err != nil {
			b.Fatal(err)
		}
		if err := put(row); err != nil {
			b.Fatal(err)
		}
	}
}

func pumped(b *testing.B, js jetstream.JetStream, store datapump.Store) time.Duration {
	start := time.Now()
	p, err := datapump.NewPump(b.Context(), js, "shops", fmt.Sprint("p", start.UnixNano()), store, storetest.Tables, datapump.Config{Batch: 5000})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for p.State().Position < benchRows {
		time.Sleep(100 * time.Microsecond) // lint:bubble does not apply: it is measured
	}
	took := time.Since(start)
	cancel()
	require.NoError(b, <-done)
	return took
}

func BenchmarkSQLite(b *testing.B) {
	js := filled(b)
	plain := func(b *testing.B) time.Duration {
		_, db := newSQLite(b)
		start := time.Now()
		tx, err := db.BeginTx(b.Context(), nil)
		require.NoError(b, err)
		insert, err := tx.PrepareContext(b.Context(), "INSERT INTO sales VALUES (?, ?)")
		require.NoError(b, err)
		load(b, js, func(s sale) error { _, err := insert.ExecContext(b.Context(), s.N, s.Till); return err })
		require.NoError(b, tx.Commit())
		return time.Since(start)
	}
	ours := func(b *testing.B) time.Duration { store, _ := newSQLite(b); return pumped(b, js, store) }
	ratio.Bar{Pattern: "datapump", Metric: "rows into SQLite, beside one transaction", AtLeast: 0.7}.Compare(b, plain, ours)
}

func BenchmarkPostgres(b *testing.B) {
	js := filled(b)
	store, _ := newPostgres(b)
	conn, err := pgx.Connect(b.Context(), postgres.Address(b))
	require.NoError(b, err)
	defer func() { _ = conn.Close(context.Background()) }() // the test is over
	_, err = conn.Exec(b.Context(), storetest.SQL)
	require.NoError(b, err)
	plain := func(b *testing.B) time.Duration {
		start := time.Now()
		rows := make([][]any, 0, benchRows)
		load(b, js, func(s sale) error { rows = append(rows, []any{s.N, s.Till}); return nil })
		_, err := conn.CopyFrom(b.Context(), pgx.Identifier{"sales"}, []string{"n", "till"}, pgx.CopyFromRows(rows))
		require.NoError(b, err)
		return time.Since(start)
	}
	ours := func(b *testing.B) time.Duration { return pumped(b, js, store) }
	ratio.Bar{Pattern: "datapump", Metric: "rows into PostgreSQL, beside one COPY", AtLeast: 0.7}.Compare(b, plain, ours)
}
