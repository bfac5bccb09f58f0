// Command idempotent publishes and delivers messages of a shop several times, and shows how
// a publisher, a database and a receiver with a bucket deduplicate them.
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
	About:   "messages are published and delivered several times: a duplicate window, a record in a transaction, a record in a bucket, and their limits",
	Lasts:   20 * time.Second,
	Streams: []string{"PAYMENTS", "KV_done-receipts"},
	Scene:   [2]time.Duration{15700 * time.Millisecond, 17300 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

const (
	ms     = time.Millisecond
	window = 5 * time.Second
	maxAge = 100 * 365 * 24 * time.Hour // the server compares the age of a record with the real clock
)

func cast(e *demo.Env) error {
	e.Go("shop", func(ctx context.Context, nc *nats.Conn) error { return shop(ctx, e, nc) })
	e.Go("books", func(ctx context.Context, nc *nats.Conn) error { return books(ctx, e, nc) })
	e.Go("mailer", func(ctx context.Context, nc *nats.Conn) error { return mailer(ctx, e, nc) })
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
	e.Tell("The shop publishes an order. It receives no reply, and retries ten times. Without an ID\nthe stream stores every attempt.")
	e.At(900 * ms)
	id := e.ID("order")
	for range 11 {
		if _, err := js.Publish(ctx, "payments.order."+id, nil); err != nil {
			return err
		}
	}
	e.Printf("shop: %s published 11 times, stored %d times", id, count(ctx, js, id))
	e.At(1500 * ms)
	e.Tell("With an ID the stream drops the duplicates, within its duplicate window: 5 s here.")
	e.At(1700 * ms)
	id = e.ID("order")
	for range 11 {
		if _, err := p.Publish(ctx, id, &nats.Msg{Subject: "payments.order." + id}); err != nil {
			return err
		}
	}
	e.Printf("shop: %s published 11 times, stored %d time", id, count(ctx, js, id))

	e.At(3 * time.Second)
	e.Tell("A message that is stored once can be delivered several times. Here ten acks are lost.\nEach delivery takes 30 of Ann's 100 from two accounts: one without a record, and one\nwith a record in the same transaction (TxReceiver).")
	paid := e.ID("order")
	pay := func(at time.Duration) error {
		e.At(at)
		done, err := p.Publish(ctx, paid, &nats.Msg{Subject: "payments.paid." + paid})
		e.At(at + 100*ms)
		e.Printf("shop: published that %s is paid; stored: %v", paid, done)
		return err
	}
	if err := pay(3200 * ms); err != nil {
		return err
	}
	e.At(8500 * ms)
	e.Tell("5.5 s later, after the window, the shop publishes the same ID again, and the stream\nstores it. The record in the database detects it: MaxAge is 7 days.")
	if err := pay(8700 * ms); err != nil {
		return err
	}

	e.At(11 * time.Second)
	e.Tell("An email cannot be part of a transaction. The mailer claims the message in a bucket,\nsends the email, and records that (Receiver). Ten redeliveries, one email.")
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
	e.Tell("Email and record are two writes. The mailer crashes between them. Its claim expires\nafter 1 to 2 s, the message is redelivered, and nothing shows that the email was sent:\nit is sent twice. Only a record in the transaction of the effect prevents that.")
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
	return info.State.Subjects["payments.order."+id]
}

// deliver calls handle for the messages of subject. It acks only delivery 11: the acks
// before it are lost.
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
		if err != nil && !errors.Is(err, idempotent.ErrBusy) { // the next delivery retries it
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

// books takes money from two accounts: one without a record, one with a record.
func books(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(300 * ms)
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	const accounts = "CREATE TABLE unrecorded (balance INT); CREATE TABLE recorded (balance INT); INSERT INTO unrecorded VALUES (100); INSERT INTO recorded VALUES (100)"
	if _, err := db.ExecContext(ctx, accounts); err != nil {
		return err
	}
	receiver, err := idempotent.NewTxReceiver(ctx, db, "books", idempotent.Config{})
	if err != nil {
		return err
	}
	return deliver(ctx, e, nc, "payments.paid.*", 200*ms, func(id string, delivery uint64) error {
		if _, err := db.ExecContext(ctx, "UPDATE unrecorded SET balance = balance - 30"); err != nil {
			return err
		}
		_, err := receiver.Once(ctx, id, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE recorded SET balance = balance - 30")
			return err
		})
		if err != nil || delivery > 1 && delivery < 11 {
			return err
		}
		var a, b int
		if err := db.QueryRowContext(ctx, "SELECT unrecorded.balance, recorded.balance FROM unrecorded, recorded").Scan(&a, &b); err != nil {
			return err
		}
		e.Printf("%s, delivery %d: Ann has %d without a record, %d with a record", id, delivery, a, b)
		return nil
	})
}

// mailer sends receipts by email, and crashes once, at the second one.
func mailer(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(400 * ms)
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	r, err := idempotent.NewReceiver(ctx, js, "receipts", idempotent.Config{MaxAge: maxAge, Lease: time.Second, Metadata: e.Mark()})
	if err != nil {
		return err
	}
	receipts, crashed := 0, false
	return deliver(ctx, e, nc, "payments.receipt.*", 400*ms, func(id string, delivery uint64) (err error) {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			_, err = r.Once(ctx, id, func(context.Context) error {
				e.Printf("mailer: %s sent, delivery %d", id, delivery)
				if receipts++; receipts == 2 && !crashed {
					crashed = true
					e.Printf("mailer: crashed before the record")
					runtime.Goexit()
				}
				return nil
			})
		}()
		<-stopped
		if err == nil && delivery > 10 {
			e.Printf("mailer: %s acknowledged, delivery %d", id, delivery)
		}
		return err
	})
}
