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

// What is committed is published, as it was put; what is rolled back is not.
func TestRelay(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js := s.JetStream("shop")
		events(t, js)
		stop := relay(t, db, s.Connect("relay"), outbox.Config{})
		require.NoError(t, place(t.Context(), db, "ann", "order-1"))
		require.Error(t, place(t.Context(), db, "ann", "order-1"), "there is one of that name")
		tx, err := db.Begin()
		require.NoError(t, err)
		require.NoError(t, outbox.Put(t.Context(), tx, "", &nats.Msg{Subject: "events.plain", Header: nats.Header{jetstream.MsgIDHeader: {"mine"}}}))
		require.NoError(t, tx.Commit())
		time.Sleep(2 * time.Second)
		require.Len(t, told(t, js), 2)
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

// Woken, the relay publishes at once; not woken, when it polls.
func TestWake(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		nc := s.Connect("shop")
		js := must(jetstream.New(nc))
		events(t, js)
		stop := relay(t, db, s.Connect("relay"), outbox.Config{Poll: time.Minute})
		time.Sleep(time.Second)
		require.NoError(t, place(t.Context(), db, "ann", "order-1"))
		require.NoError(t, outbox.Wake(nc, "shop"))
		time.Sleep(time.Millisecond)
		require.Equal(t, []string{"order-1"}, told(t, js))
		require.NoError(t, place(t.Context(), db, "ann", "order-2")) // and dies before it wakes anybody
		time.Sleep(50 * time.Second)
		require.Equal(t, []string{"order-1"}, told(t, js))
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"order-1", "order-2"}, told(t, js))
		require.NoError(t, stop())
	})
}

// Of each key, messages go out in the order in which they were put, a thousand at once.
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
		for _, id := range told(t, js) {
			key, _, _ := strings.Cut(id, " ")
			got[key] = append(got[key], id)
		}
		require.Equal(t, want, got)
		require.Zero(t, left(t, db))
		require.NoError(t, stop())
	})
}

// What no stream takes holds up its key, is logged, and goes out once one does; other
// keys do not wait, however many are held up.
func TestStuck(t *testing.T) {
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
			put("ann", "nowhere.yet", fmt.Sprint("stuck-", i))
		}
		put("ann", "events.ann", "behind")
		put("dora", "nowhere.either", "stuck-20")
		put("dora", "events.dora", "behind, in one batch")
		put("", "nowhere.at.all", "stuck-21")
		put("", "events.plain", "no key, no order")
		put("ben", "events.ben", strings.Repeat("x", 2<<20))
		put("cleo", "events.cleo", "free")
		require.NoError(t, tx.Commit())
		stop := relay(t, db, s.Connect("relay"), outbox.Config{Batch: 4, Log: slog.New(slog.NewTextHandler(&log, nil))})
		time.Sleep(10 * time.Second)
		require.ElementsMatch(t, []string{"free", "no key, no order"}, told(t, js))
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LATER", Subjects: []string{"nowhere.>"}})
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.ElementsMatch(t, []string{"free", "no key, no order", "behind", "behind, in one batch"}, told(t, js))
		require.Equal(t, 1, left(t, db), "what is too large for any server waits for a person")
		require.NoError(t, stop())
		require.Contains(t, log.String(), "no response from stream")
		require.Contains(t, log.String(), "maximum payload exceeded")
	})
}

// However much goes out meanwhile, what is held up is tried once at each poll.
func TestStuckOnce(t *testing.T) {
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
		require.Len(t, told(t, js), 40)
		require.Equal(t, 1, strings.Count(log.String(), "not published"))
	})
}

// With Keep, what was published can be looked at for that long.
func TestKeep(t *testing.T) {
	each(t, func(t *testing.T, s *natstest.Server, db *sql.DB) {
		js := s.JetStream("shop")
		events(t, js)
		stop := relay(t, db, s.Connect("relay"), outbox.Config{Keep: time.Hour, Poll: 20 * time.Second})
		require.NoError(t, place(t.Context(), db, "ann", "order-1"))
		time.Sleep(50 * time.Minute)
		require.Equal(t, 1, left(t, db))
		require.Len(t, told(t, js), 1)
		time.Sleep(11 * time.Minute)
		require.Zero(t, left(t, db))
		require.NoError(t, stop())
	})
}

// Two relays of one name publish each message once, by its id, and in order.
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
		require.Equal(t, ids(50), told(t, js))
		require.NoError(t, one())
		require.NoError(t, two())
	})
}

// A transaction that began first may commit last. A relay that goes on from the last
// id it has seen never reads its message; this one does.
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
		time.Sleep(1500 * time.Millisecond) // between two looks
		require.Equal(t, []string{"quick"}, told(t, js))
		require.NoError(t, tx.Commit())
		require.NoError(t, db.QueryRow(`SELECT count(*) FROM outbox WHERE id < $1`, seen).Scan(&missed))
		require.Equal(t, 1, missed, "what one that goes on from the last id would miss")
		time.Sleep(2 * time.Second)
		got := told(t, js)
		slices.Sort(got)
		require.Equal(t, []string{"early", "quick"}, got)
		require.NoError(t, stop())
	})
}
