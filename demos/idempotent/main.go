// Command idempotent plays a shop whose messages come more than once: into the
// stream, to the books, and to the post office; and what each of them can do.
package main

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

var play = demo.Play{
	Name:    "idempotent",
	About:   "a payment is sent and delivered again and again: a window, a record in KV and one in the transaction, and where each ends",
	Lasts:   20 * time.Second,
	Streams: []string{"PAYMENTS", "KV_done-receipts"},
	Scene:   [2]time.Duration{15700 * time.Millisecond, 17300 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

const (
	ms     = time.Millisecond
	window = 5 * time.Second
	keep   = 100 * 365 * 24 * time.Hour // a server on a fake clock would judge a week by the real one
)

func cast(e *demo.Env) error {
	e.Go("shop", func(ctx context.Context, nc *nats.Conn) error { return shop(ctx, e, nc) })
	e.Go("books", func(ctx context.Context, nc *nats.Conn) error { return books(ctx, e, nc) })
	e.Go("post", func(ctx context.Context, nc *nats.Conn) error { return post(ctx, e, nc) })
	return nil
}

func shop(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	if _, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "PAYMENTS", Subjects: []string{"payments.>"}, Duplicates: window, Metadata: e.Mark()}); err != nil {
		return err
	}
	p, err := idempotent.NewPublisher(ctx, js, "PAYMENTS")
	if err != nil {
		return err
	}
	e.At(700 * ms)
	e.Tell("A shop asks for money: 30 of Ann's 100. It is not sure that it was heard, and asks\nagain, ten times. The stream cannot know that these are one.")
	e.At(900 * ms)
	id := e.ID("order")
	for range 11 {
		if _, err := js.Publish(ctx, "payments.asked."+id, nil); err != nil {
			return err
		}
	}
	e.Printf("the shop asked for %s eleven times: stored %d times", id, count(ctx, js, id))
	e.At(1500 * ms)
	e.Tell("With an id it can, for as long as its window: five seconds here.")
	e.At(1700 * ms)
	id = e.ID("order")
	for range 11 {
		if _, err := p.Publish(ctx, id, &nats.Msg{Subject: "payments.asked." + id}); err != nil {
			return err
		}
	}
	e.Printf("the shop asked for %s eleven times: stored %d time", id, count(ctx, js, id))

	e.At(3 * time.Second)
	e.Tell("Stored once is not delivered once. The books take the money, and their acks are lost,\nten times, so that the stream delivers it again. There are two books: the careless ones\nhave no record, the careful ones write it with the money, in one transaction.")
	paid := e.ID("order")
	pay := func(at time.Duration) error {
		e.At(at)
		done, err := p.Publish(ctx, paid, &nats.Msg{Subject: "payments.paid." + paid})
		e.At(at + 100*ms)
		e.Printf("the shop said that %s is paid; new to the stream: %v", paid, done)
		return err
	}
	if err := pay(3200 * ms); err != nil {
		return err
	}
	e.At(8500 * ms)
	e.Tell("Five and a half seconds later, past the window, the shop says it once more. To the\nstream that is news. To the careful books it is not: they remember for a week.")
	if err := pay(8700 * ms); err != nil {
		return err
	}

	e.At(11 * time.Second)
	e.Tell("A receipt cannot be part of a transaction: it goes into a letter box. The post claims\nit in a bucket, posts it, and records that. Ten redeliveries, one receipt.")
	send := func(at time.Duration) error {
		e.At(at)
		id := e.ID("receipt")
		_, err := p.Publish(ctx, id, &nats.Msg{Subject: "payments.receipt." + id})
		return err
	}
	if err := send(11200 * ms); err != nil {
		return err
	}
	e.At(15500 * ms)
	e.Tell("But they are two writes. The clerk who posts the next one is struck down between the\nletter box and the record. His claim ends after a second or two, the message comes again,\nand the next clerk cannot know: receipt-2 is posted twice. That, and no more, is what\na record elsewhere leaves open.")
	return send(15800 * ms)
}

func count(ctx context.Context, js jetstream.JetStream, id string) (n uint64) {
	s, err := js.Stream(ctx, "PAYMENTS")
	if err != nil {
		return 0
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("payments.*."+id))
	if err != nil {
		return 0
	}
	return info.State.Subjects["payments.asked."+id]
}

// deliver has handle take the messages of subject. An ack arrives when a message
// comes for the eleventh time: those before are lost.
func deliver(ctx context.Context, e *demo.Env, nc *nats.Conn, subject string, every time.Duration, handle func(id string, delivery uint64) error) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	cons, err := js.CreateConsumer(ctx, "PAYMENTS", jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, AckWait: every, FilterSubject: subject, MemoryStorage: true})
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	c, err := cons.Consume(func(msg jetstream.Msg) {
		meta, err := msg.Metadata()
		if err == nil {
			err = handle(msg.Subject()[strings.LastIndex(msg.Subject(), ".")+1:], meta.NumDelivered)
		}
		if err == nil && meta.NumDelivered > 10 {
			err = msg.Ack()
		}
		if err != nil && !errors.Is(err, idempotent.ErrBusy) { // which the next delivery sees to
			select {
			case failed <- err:
			default:
			}
		}
	})
	if err != nil {
		return err
	}
	defer func() { c.Stop(); <-c.Closed() }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// books are two ledgers, the careless and the careful.
func books(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(300 * ms)
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	const accounts = "CREATE TABLE careless (balance INT); CREATE TABLE careful (balance INT); INSERT INTO careless VALUES (100); INSERT INTO careful VALUES (100)"
	if _, err := db.ExecContext(ctx, accounts); err != nil {
		return err
	}
	careful, err := idempotent.NewTxReceiver(ctx, db, "books", idempotent.Config{})
	if err != nil {
		return err
	}
	return deliver(ctx, e, nc, "payments.paid.*", 200*ms, func(id string, delivery uint64) error {
		if _, err := db.ExecContext(ctx, "UPDATE careless SET balance = balance - 30"); err != nil {
			return err
		}
		_, err := careful.Once(ctx, id, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE careful SET balance = balance - 30")
			return err
		})
		if err != nil || delivery > 1 && delivery < 11 {
			return err
		}
		var a, b int
		if err := db.QueryRowContext(ctx, "SELECT careless.balance, careful.balance FROM careless, careful").Scan(&a, &b); err != nil {
			return err
		}
		e.Printf("%s, delivery %d: Ann has %d in the careless books, %d in the careful ones", id, delivery, a, b)
		return nil
	})
}

// post posts receipts, and falls ill at the second one.
func post(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(400 * ms)
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	r, err := idempotent.NewReceiver(ctx, js, "receipts", idempotent.Config{Keep: keep, Lease: time.Second, Metadata: e.Mark()})
	if err != nil {
		return err
	}
	receipts, ill := 0, false
	return deliver(ctx, e, nc, "payments.receipt.*", 400*ms, func(id string, delivery uint64) (err error) {
		clerk := make(chan struct{})
		go func() {
			defer close(clerk)
			_, err = r.Once(ctx, id, func(context.Context) error {
				e.Printf("%s is in the letter box, at delivery %d", id, delivery)
				if receipts++; receipts == 2 && !ill {
					ill = true
					e.Printf("the clerk is struck down")
					runtime.Goexit()
				}
				return nil
			})
		}()
		<-clerk
		if err == nil && delivery > 10 {
			e.Printf("%s, delivery %d: acknowledged", id, delivery)
		}
		return err
	})
}
