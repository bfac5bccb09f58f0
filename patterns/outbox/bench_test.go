package outbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/outbox"
)

const benched = 5000

// full returns an outbox of messages of as many keys.
func full(b *testing.B, db *sql.DB) {
	tx := must(db.Begin())
	for i := range benched {
		require.NoError(b, outbox.Put(b.Context(), tx, fmt.Sprint(i), &nats.Msg{Subject: "events.a", Data: make([]byte, 128)}))
	}
	require.NoError(b, tx.Commit())
}

// until waits until the outbox is empty.
func until(b *testing.B, db *sql.DB, start time.Time) time.Duration {
	for left(b, db) > 0 {
		time.Sleep(time.Millisecond) // lint:bubble what is measured is real time
		require.Less(b, time.Since(start), time.Minute)
	}
	return time.Since(start)
}

func ours(b *testing.B) time.Duration {
	s, db := natstest.Start(b), sqlite(b)
	events(b, s.JetStream("shop"))
	full(b, db)
	start := time.Now()
	stop := relay(b, db, s.Connect("relay"), outbox.Config{})
	took := until(b, db, start)
	require.NoError(b, stop())
	return took
}

// plain does the same by hand: it reads a batch, publishes it, waits for the acks and
// deletes it.
func plain(b *testing.B) time.Duration {
	s, db := natstest.Start(b), sqlite(b)
	js := s.JetStream("shop")
	events(b, js)
	full(b, db)
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for batch(b, db, js) > 0 {
		}
	}()
	took := until(b, db, start)
	<-done
	return took
}

func batch(b *testing.B, db *sql.DB, js jetstream.JetStream) int {
	rows := must(db.Query(`SELECT id, msg_id, subject, header, payload FROM outbox ORDER BY id LIMIT 256`))
	var ids []int64
	var acks []jetstream.PubAckFuture
	for rows.Next() {
		var id int64
		var msgID, header string
		m := &nats.Msg{Header: nats.Header{}}
		if err := rows.Scan(&id, &msgID, &m.Subject, &header, &m.Data); err != nil {
			b.Error(err)
		}
		if err := json.Unmarshal([]byte(header), &m.Header); err != nil || m.Header == nil {
			m.Header = nats.Header{}
		}
		m.Header.Set(jetstream.MsgIDHeader, msgID)
		ids, acks = append(ids, id), append(acks, must(js.PublishMsgAsync(m)))
	}
	_ = rows.Close()
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			b.Error(err)
		}
	}
	tx := must(db.Begin())
	for _, id := range ids {
		must(tx.Exec(`DELETE FROM outbox WHERE id = $1`, id))
	}
	if err := tx.Commit(); err != nil {
		b.Error(err)
	}
	return len(ids)
}

func BenchmarkRelay(b *testing.B) {
	ratio.Bar{Pattern: "outbox", Metric: "relay, beside the same by hand", AtLeast: 0.9}.Compare(b, plain, ours)
}

// The time from the commit until the message is stored, with a notification.
func BenchmarkLatency(b *testing.B) {
	if b.N > 1 {
		return
	}
	s, db := natstest.Start(b), sqlite(b)
	nc := s.Connect("shop")
	js := must(jetstream.New(nc))
	events(b, js)
	stop := relay(b, db, s.Connect("relay"), outbox.Config{})
	sub := must(nc.SubscribeSync("events.>"))
	var all []time.Duration
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for i := range 500 {
		require.NoError(b, place(ctx, db, "ann", fmt.Sprint("order-", i)))
		start := time.Now()
		require.NoError(b, outbox.Notify(nc, "shop"))
		_, err := sub.NextMsgWithContext(ctx)
		require.NoError(b, err)
		all = append(all, time.Since(start))
	}
	require.NoError(b, stop())
	p50 := ratio.Median(all)
	ratio.Report(b, "outbox", "p50 from commit to publish, notified", p50.Round(time.Microsecond).String(), "<= 5ms", p50 <= 5*time.Millisecond)
}
