package idempotent_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

const rounds = 400

// timed calls f with new IDs.
func timed(b *testing.B, used *int, f func(id string) error) time.Duration {
	start := time.Now()
	for range rounds {
		*used++
		if err := f(fmt.Sprint("msg-", *used)); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

// One message: 100 bytes are stored with an ID, and acknowledged.
func BenchmarkPublish(b *testing.B) {
	js := natstest.Start(b).JetStream("client")
	_, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "OUT", Subjects: []string{"orders.>"}, Storage: jetstream.MemoryStorage})
	require.NoError(b, err)
	p, err := idempotent.NewPublisher(b.Context(), js, "OUT")
	require.NoError(b, err)
	used, data := 0, make([]byte, 100)
	ratio.Bar{Pattern: "idempotent", Metric: "Publish beside PublishMsg with a Nats-Msg-Id", AtLeast: 0.9, Pairs: 61}.Compare(b,
		func(b *testing.B) time.Duration {
			return timed(b, &used, func(id string) error {
				ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
				defer cancel()
				_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "orders.paid", Data: data}, jetstream.WithMsgID("orders.paid/"+id))
				return err
			})
		},
		func(b *testing.B) time.Duration {
			return timed(b, &used, func(id string) error {
				_, err := p.Publish(b.Context(), id, &nats.Msg{Subject: "orders.paid", Data: data})
				return err
			})
		})
}

// One message: a claim is created, and replaced by a record.
func BenchmarkReceiver(b *testing.B) {
	js := natstest.Start(b).JetStream("client")
	cfg := idempotent.Config{Storage: jetstream.MemoryStorage}
	r, err := idempotent.NewReceiver(b.Context(), js, "mailer", cfg)
	require.NoError(b, err)
	kv, err := js.KeyValue(b.Context(), "done-mailer")
	require.NoError(b, err)
	used, effect := 0, func(context.Context) error { return nil }
	ratio.Bar{Pattern: "idempotent", Metric: "Once in KV beside Create and Update by hand", AtLeast: 0.9, Pairs: 61}.Compare(b,
		func(b *testing.B) time.Duration {
			return timed(b, &used, func(id string) error {
				ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
				defer cancel()
				rev, err := kv.Create(ctx, id, []byte("claimed"), jetstream.KeyTTL(30*time.Second))
				if err == nil {
					err = effect(ctx)
				}
				if err == nil {
					_, err = kv.Update(ctx, id, []byte("done"), rev)
				}
				return err
			})
		},
		func(b *testing.B) time.Duration {
			return timed(b, &used, func(id string) error {
				_, err := r.Once(b.Context(), id, effect)
				return err
			})
		})
}

// One message: a row is inserted, and its record in the same transaction.
func BenchmarkTxReceiver(b *testing.B) {
	db := newDB(b, 1)
	r, err := idempotent.NewTxReceiver(b.Context(), db.DB, "mailer", idempotent.Config{})
	require.NoError(b, err)
	used := 0
	ratio.Bar{Pattern: "idempotent", Metric: "Once in SQL beside the same by hand", AtLeast: 0.9, Pairs: 61}.Compare(b,
		func(b *testing.B) time.Duration {
			return timed(b, &used, func(id string) error {
				tx, err := db.BeginTx(b.Context(), nil)
				if err != nil {
					return err
				}
				defer func() { _ = tx.Rollback() }()
				_, err = tx.ExecContext(b.Context(), "INSERT INTO idempotent_done (receiver, id, at) VALUES ($1, $2, $3)", "mailer", id, time.Now().UnixMilli())
				if err == nil {
					err = execute(tx, id)
				}
				if err == nil {
					err = tx.Commit()
				}
				return err
			})
		},
		func(b *testing.B) time.Duration {
			return timed(b, &used, func(id string) error {
				_, err := r.Once(b.Context(), id, func(_ context.Context, tx *sql.Tx) error { return execute(tx, id) })
				return err
			})
		})
}
