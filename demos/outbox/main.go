// Command outbox plays a bakery that stores an order and publishes its message, both or
// neither, and a rival that does one after the other.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/internal/wire"
	"github.com/natspatterns/catalog/patterns/outbox"
)

var play = demo.Play{
	Name:    "outbox",
	About:   "a bakery stores an order and publishes it, both or neither; its rival does not",
	Lasts:   16 * time.Second,
	Streams: []string{"CAKES"},
	Scene:   [2]time.Duration{900 * time.Millisecond, 8200 * time.Millisecond},
	Draw:    func(a wire.Arrow) bool { return a.From != "rival" && a.To != "rival" },
	Cast:    func(e *demo.Env) error { return (&bakery{Env: e, opened: make(chan struct{})}).cast() },
}

func main() { play.Main() }

// bakery is a shop, a relay and a kitchen with one database.
type bakery struct {
	*demo.Env
	db     *sql.DB
	opened chan struct{} // when the database and the stream exist
}

func (b *bakery) cast() error {
	b.Go("shop", b.shop)
	b.Go("relay", func(ctx context.Context, nc *nats.Conn) error {
		js, err := b.begin(ctx, nc)
		if js == nil {
			return err
		}
		r, err := outbox.NewRelay(ctx, b.db, nc, js, "bakery", outbox.Config{Log: b.Log()})
		if err != nil {
			return err
		}
		return r.Run(ctx)
	})
	b.Go("kitchen", b.kitchen)
	b.Go("rival", b.rival)
	return nil
}

// begin waits until the bakery is open.
func (b *bakery) begin(ctx context.Context, nc *nats.Conn) (jetstream.JetStream, error) {
	select {
	case <-b.opened:
		return b.JetStream(nc)
	case <-ctx.Done():
		return nil, nil
	}
}

func (b *bakery) open(ctx context.Context, js jetstream.JetStream) (err error) {
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "CAKES", Subjects: []string{"cakes.>"}, Metadata: b.Mark()})
	if err != nil {
		return err
	}
	if b.db, err = sql.Open("sqlite", ":memory:"); err != nil {
		return err
	}
	b.db.SetMaxOpenConns(1) // each connection would have a database of its own
	_, err = b.db.ExecContext(ctx, outbox.SQLite+`CREATE TABLE orders (id TEXT PRIMARY KEY, cake TEXT); CREATE TABLE baked (cake TEXT)`)
	close(b.opened)
	return err
}

// order inserts an order and its message in one transaction, which fails for a cake that
// does not exist.
func (b *bakery) order(ctx context.Context, cake string) error {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	id := b.ID("order")
	if _, err := tx.ExecContext(ctx, `INSERT INTO orders VALUES ($1, $2)`, id, cake); err != nil {
		return err
	}
	msg := &nats.Msg{Subject: "cakes." + id, Header: nats.Header{jetstream.MsgIDHeader: {id}}, Data: []byte(cake)}
	if err := outbox.Put(ctx, tx, id, msg); err != nil {
		return err
	}
	if cake == "unicorn cake" {
		return fmt.Errorf("there is no %s", cake)
	}
	return tx.Commit()
}

func (b *bakery) shop(ctx context.Context, nc *nats.Conn) error {
	js, err := b.JetStream(nc)
	if err == nil {
		err = b.open(ctx, js)
	}
	if err != nil {
		return err
	}
	sell := func(at time.Duration, cake string, notify bool) {
		b.At(at)
		if fail := b.order(ctx, cake); fail != nil {
			b.Printf("shop: rolled back, %v", fail)
			return
		}
		b.Printf("shop: committed an order, %s", cake)
		if notify {
			err = errors.Join(err, outbox.Notify(nc, "bakery"))
		}
	}
	b.Tell("The bakery inserts an order and its message in one transaction, and notifies the\nrelay. A rollback removes both.")
	sell(1100*time.Millisecond, "cheesecake", true)
	sell(1600*time.Millisecond, "unicorn cake", true)

	b.At(2500 * time.Millisecond)
	b.Tell("Now the shop crashes after the commit, before it can notify the relay. The relay\npolls once a second.")
	sell(3300*time.Millisecond, "apple pie", false)

	b.At(4500 * time.Millisecond)
	b.Tell("The relay is disconnected. The shop goes on; the messages wait in the database.")
	b.Line("relay").Down()
	sell(5100*time.Millisecond, "brownie", true)
	sell(5600*time.Millisecond, "muffin", true)
	b.At(7 * time.Second)
	b.Line("relay").Up()

	b.At(8500 * time.Millisecond)
	b.Tell("A message can be delivered twice: the kitchen crashes before its ack. Its inbox\ndetects the duplicate by the message ID.")
	sell(9100*time.Millisecond, "strudel", true)
	<-ctx.Done()
	return errors.Join(err, b.db.Close())
}

// kitchen bakes each order once.
func (b *bakery) kitchen(ctx context.Context, nc *nats.Conn) error {
	js, err := b.begin(ctx, nc)
	if js == nil || !b.At(300*time.Millisecond) {
		return err
	}
	cons, err := js.CreateOrUpdateConsumer(ctx, "CAKES", jetstream.ConsumerConfig{Durable: "kitchen", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second})
	if err != nil {
		return err
	}
	c, err := cons.Consume(func(m jetstream.Msg) {
		time.Sleep(20 * time.Millisecond) // before it starts
		first, fail := b.bake(ctx, m.Headers().Get(jetstream.MsgIDHeader), string(m.Data()))
		switch {
		case ctx.Err() != nil:
			return
		case fail != nil:
			b.Printf("kitchen: %v", fail)
		case !first:
			b.Printf("kitchen: %s delivered again, and already baked", m.Data())
		default:
			b.Printf("kitchen: bakes %s", m.Data())
			if string(m.Data()) == "strudel" {
				return // without an ack
			}
		}
		_ = m.Ack() // if it is lost, the message is redelivered
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	c.Stop()
	<-c.Closed()
	return nil
}

// bake records the message and its effect in one transaction.
func (b *bakery) bake(ctx context.Context, id, cake string) (first bool, err error) {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }()
	if first, err = outbox.Take(ctx, tx, "kitchen", id); err != nil || !first {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO baked VALUES ($1)`, cake); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// rival commits, and then publishes, but crashes in between.
func (b *bakery) rival(ctx context.Context, nc *nats.Conn) error {
	js, err := b.begin(ctx, nc)
	if js == nil || !b.At(12500*time.Millisecond) {
		return err
	}
	b.Tell("The rival across the street commits first, and then publishes. It crashes in\nbetween.")
	b.At(13 * time.Second)
	if _, err := b.db.ExecContext(ctx, `INSERT INTO orders VALUES ('rival-1', 'wedding cake')`); err != nil {
		return err
	}
	b.Printf("rival: committed an order, wedding cake")
	b.At(15 * time.Second)
	var unpublished int
	err = b.db.QueryRowContext(ctx, `SELECT count(*) FROM orders WHERE cake NOT IN (SELECT cake FROM baked)`).Scan(&unpublished)
	b.Printf("orders that were never published: %d, the wedding cake", unpublished)
	return err
}
