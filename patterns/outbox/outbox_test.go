package outbox_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/outbox"
)

// A message is published if its transaction commits, and not if it is rolled back.
func TestRelay(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js := s.JetStream("shop")
		events(t, js)
		stop := relay(t, db, s.Connect("relay"), outbox.Config{})
		require.NoError(t, place(t.Context(), db, "ann", "order-1"))
		require.Error(t, place(t.Context(), db, "ann", "order-1"), "the order exists")
		tx, err := db.Begin()
		require.NoError(t, err)
		require.NoError(t, outbox.Put(t.Context(), tx, "", &nats.Msg{Subject: "events.plain", Header: nats.Header{jetstream.MsgIDHeader: {"mine"}}}))
		require.NoError(t, tx.Commit())
		time.Sleep(2 * time.Second)
		require.Len(t, stored(t, js), 2)
		stream := must(js.Stream(t.Context(), "EVENTS"))
		m := must(stream.GetLastMsgForSubject(t.Context(), "events.ann.placed"))
		require.Equal(t, "order-1", string(m.Data))
		require.Equal(t, "order", m.Header.Get("Kind"))
		require.NotEmpty(t, m.Header.Get(jetstream.MsgIDHeader))
		m = must(stream.GetLastMsgForSubject(t.Context(), "events.plain"))
		require.Equal(t, "mine", m.Header.Get(jetstream.MsgIDHeader))
		require.Zero(t, left(t, db))
		require.NoError(t, stop())
	})
}

// After a notification the relay publishes at once; without one, at its next poll.
func TestNotify(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		nc := s.Connect("shop")
		js := must(jetstream.New(nc))
		events(t, js)
		stop := relay(t, db, s.Connect("relay"), outbox.Config{Poll: time.Minute})
		time.Sleep(time.Second)
		require.NoError(t, place(t.Context(), db, "ann", "order-1"))
		require.NoError(t, outbox.Notify(nc, "shop"))
		time.Sleep(time.Millisecond)
		require.Equal(t, []string{"order-1"}, stored(t, js))
		require.NoError(t, place(t.Context(), db, "ann", "order-2")) // and crashes before it notifies
		time.Sleep(50 * time.Second)
		require.Equal(t, []string{"order-1"}, stored(t, js))
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"order-1", "order-2"}, stored(t, js))
		require.NoError(t, stop())
	})
}

// The messages of each key are published in the order of their Put, a thousand at once.
func TestOrder(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js := s.JetStream("shop")
		events(t, js)
		tx, err := db.Begin()
		require.NoError(t, err)
		want := map[string][]string{}
		for i := range 1000 {
			key := fmt.Sprint("key-", i%7)
			id := fmt.Sprintf("%s %d", key, i)
			want[key] = append(want[key], id)
			require.NoError(t, outbox.Put(t.Context(), tx, key, &nats.Msg{Subject: "events." + key, Data: []byte(id)}))
		}
		require.NoError(t, tx.Commit())
		stop := relay(t, db, s.Connect("relay"), outbox.Config{Batch: 100})
		time.Sleep(5 * time.Second)
		got := map[string][]string{}
		for _, id := range stored(t, js) {
			key, _, _ := strings.Cut(id, " ")
			got[key] = append(got[key], id)
		}
		require.Equal(t, want, got)
		require.Zero(t, left(t, db))
		require.NoError(t, stop())
	})
}

// A message without a stream blocks its key, is logged, and is published when there is
// a stream. Other keys are not blocked, however many messages are.
func TestBlocked(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js := s.JetStream("shop")
		events(t, js)
		var log bytes.Buffer
		tx, err := db.Begin()
		require.NoError(t, err)
		put := func(key, subject, body string) {
			require.NoError(t, outbox.Put(t.Context(), tx, key, &nats.Msg{Subject: subject, Data: []byte(body)}))
		}
		for i := range 20 { // more than a batch
			put("ann", "nowhere.yet", fmt.Sprint("blocked-", i))
		}
		put("ann", "events.ann", "behind")
		put("dora", "nowhere.either", "blocked-20")
		put("dora", "events.dora", "behind, in one batch")
		put("", "nowhere.at.all", "blocked-21")
		put("", "events.plain", "no key, no order")
		put("ben", "events.ben", strings.Repeat("x", 2<<20))
		put("cleo", "events.cleo", "free")
		require.NoError(t, tx.Commit())
		stop := relay(t, db, s.Connect("relay"), outbox.Config{Batch: 4, Log: slog.New(slog.NewTextHandler(&log, nil))})
		time.Sleep(10 * time.Second)
		require.ElementsMatch(t, []string{"free", "no key, no order"}, stored(t, js))
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LATER", Subjects: []string{"nowhere.>"}})
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.ElementsMatch(t, []string{"free", "no key, no order", "behind", "behind, in one batch"}, stored(t, js))
		require.Equal(t, 1, left(t, db), "a message that is too large stays")
		require.NoError(t, stop())
		require.Contains(t, log.String(), "no response from stream")
		require.Contains(t, log.String(), "maximum payload exceeded")
	})
}

// A blocked message is tried once for each poll, however many others are published.
func TestBlockedOnce(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		db, js := sqlite(t), s.JetStream("shop")
		events(t, js)
		tx, err := db.Begin()
		require.NoError(t, err)
		require.NoError(t, outbox.Put(t.Context(), tx, "ann", nats.NewMsg("nowhere.yet")))
		for range 40 {
			require.NoError(t, outbox.Put(t.Context(), tx, "", nats.NewMsg("events.plain")))
		}
		require.NoError(t, tx.Commit())
		var log bytes.Buffer
		stop := relay(t, db, s.Connect("relay"), outbox.Config{Batch: 4, Poll: time.Minute, Log: slog.New(slog.NewTextHandler(&log, nil))})
		time.Sleep(30 * time.Second)
		require.NoError(t, stop())
		require.Len(t, stored(t, js), 40)
		require.Equal(t, 1, strings.Count(log.String(), "message not published"))
	})
}

// With MaxAge, published rows stay for that long.
func TestMaxAge(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js := s.JetStream("shop")
		events(t, js)
		stop := relay(t, db, s.Connect("relay"), outbox.Config{MaxAge: time.Hour, Poll: 20 * time.Second})
		require.NoError(t, place(t.Context(), db, "ann", "order-1"))
		time.Sleep(50 * time.Minute)
		require.Equal(t, 1, left(t, db))
		require.Len(t, stored(t, js), 1)
		time.Sleep(11 * time.Minute)
		require.Zero(t, left(t, db))
		require.NoError(t, stop())
	})
}

// Two relays of one name store each message once, and in order.
func TestTwoRelays(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js := s.JetStream("shop")
		events(t, js)
		one := relay(t, db, s.Connect("one"), outbox.Config{})
		time.Sleep(time.Millisecond)
		two := relay(t, db, s.Connect("two"), outbox.Config{})
		for _, id := range ids(50) {
			require.NoError(t, place(t.Context(), db, "ann", id))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		require.Equal(t, ids(50), stored(t, js))
		require.NoError(t, one())
		require.NoError(t, two())
	})
}

// A transaction that began first may commit last. A relay that continues after the last
// ID never reads its message; this relay does.
func TestLateCommit(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		db, ctx := pg(t), t.Context()
		js := s.JetStream("shop")
		events(t, js)
		tx, err := db.Begin()
		require.NoError(t, err)
		require.NoError(t, outbox.Put(ctx, tx, "ann", &nats.Msg{Subject: "events.ann", Data: []byte("early")}))
		require.NoError(t, place(ctx, db, "ben", "quick"))
		var seen, missed int
		require.NoError(t, db.QueryRow(`SELECT max(id) FROM outbox`).Scan(&seen))
		stop := relay(t, db, s.Connect("relay"), outbox.Config{})
		time.Sleep(1500 * time.Millisecond) // between two polls
		require.Equal(t, []string{"quick"}, stored(t, js))
		require.NoError(t, tx.Commit())
		require.NoError(t, db.QueryRow(`SELECT count(*) FROM outbox WHERE id < $1`, seen).Scan(&missed))
		require.Equal(t, 1, missed, "a relay that continues after the last ID would miss it")
		time.Sleep(2 * time.Second)
		got := stored(t, js)
		slices.Sort(got)
		require.Equal(t, []string{"early", "quick"}, got)
		require.NoError(t, stop())
	})
}
