package outbox_test

import (
	"database/sql"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/outbox"
)

// meanwhile calls do each time that a message is published on the subject.
type meanwhile struct {
	jetstream.JetStream
	subject string
	do      func()
}

func (m meanwhile) PublishMsgAsync(msg *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	if msg.Subject == m.subject {
		m.do()
	}
	return m.JetStream.PublishMsgAsync(msg, opts...)
}

// While the relay reads past a blocked key, a message that commits late is not overtaken
// by a later one of its key.
func TestLateCommitInBatch(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		db, ctx, nc := pg(t), t.Context(), s.Connect("relay")
		js := must(jetstream.New(nc))
		events(t, js)
		tx, err := db.Begin()
		require.NoError(t, err)
		require.NoError(t, outbox.Put(ctx, tx, "ann", &nats.Msg{Subject: "events.ann", Data: []byte("first")}))
		put := func(key, subject, body string) {
			tx, err := db.Begin()
			require.NoError(t, err)
			require.NoError(t, outbox.Put(ctx, tx, key, &nats.Msg{Subject: subject, Data: []byte(body)}))
			require.NoError(t, tx.Commit())
		}
		put("ben", "nowhere", "blocked")
		m := meanwhile{js, "nowhere", nil}
		m.do = func() {
			if tx != nil {
				require.NoError(t, tx.Commit())
				put("ann", "events.ann", "second")
				tx = nil
			}
		}
		stop := start(t, db, nc, &m, outbox.Config{Batch: 1})
		time.Sleep(10 * time.Second)
		require.NoError(t, stop())
		require.Equal(t, []string{"first", "second"}, stored(t, js))
	})
}

// On a slow connection too, a message that was acknowledged is marked, and is neither
// published nor stored again.
func TestSlow(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js, nc := s.JetStream("shop"), s.Connect("relay")
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, Duplicates: 4 * time.Second})
		require.NoError(t, err)
		for _, id := range ids(50) {
			require.NoError(t, place(t.Context(), db, "ann", id))
		}
		s.Link("relay").Delay(100 * time.Millisecond)
		stop := start(t, db, nc, must(jetstream.New(nc, jetstream.WithPublishAsyncTimeout(5*time.Second))), outbox.Config{Duplicates: 4 * time.Second})
		time.Sleep(time.Minute)
		require.NoError(t, stop())
		require.Equal(t, ids(50), stored(t, js))
		require.Zero(t, left(t, db))
	})
}

// A relay that reconnects after the duplicate window does not publish what another
// relay has published meanwhile.
func TestDisconnected(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js := s.JetStream("shop")
		events(t, js)
		one := relay(t, db, s.Connect("one"), outbox.Config{})
		time.Sleep(time.Millisecond)
		s.Link("one").Down()
		for _, id := range ids(3) {
			require.NoError(t, place(t.Context(), db, "ann", id))
		}
		time.Sleep(3 * time.Second)
		two := relay(t, db, s.Connect("two"), outbox.Config{})
		time.Sleep(3 * time.Minute)
		s.Link("one").Up()
		time.Sleep(10 * time.Second)
		require.NoError(t, one())
		require.NoError(t, two())
		require.Equal(t, ids(3), stored(t, js))
	})
}

// A row that was corrupted blocks its key, and no other.
func TestCorruptRow(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js := s.JetStream("shop")
		events(t, js)
		for i, key := range []string{"ann", "ann", "ben"} {
			require.NoError(t, place(t.Context(), db, key, fmt.Sprint("order-", i)))
		}
		_, err := db.Exec(`UPDATE outbox SET header = '{' WHERE id = 1`)
		require.NoError(t, err)
		stop := relay(t, db, s.Connect("relay"), outbox.Config{Log: slog.New(slog.DiscardHandler)})
		time.Sleep(10 * time.Second)
		require.NoError(t, stop())
		require.Equal(t, []string{"order-2"}, stored(t, js))
	})
}
