// Command durable plays a post office and an archive. Letters survive a crash of the server
// and an archive that is closed. Then one letter is filed twice, and one is lost.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/durable"
)

var play = demo.Play{
	Name:    "durable",
	About:   "a post office and an archive: the server crashes before its ack, the archive is closed, one letter is filed twice",
	Lasts:   19 * time.Second,
	Streams: []string{"DURABLE_letters"},
	Scene:   [2]time.Duration{2900 * time.Millisecond, 8180 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

func config(e *demo.Env) durable.Config {
	return durable.Config{AckWait: 2 * time.Second, Grace: 100 * time.Millisecond, Log: e.Log(), Metadata: e.Mark()}
}

func cast(e *demo.Env) error {
	e.Go("office", func(ctx context.Context, nc *nats.Conn) error { return office(ctx, e, nc) })
	e.Go("anna", func(ctx context.Context, nc *nats.Conn) error {
		return errors.Join(
			clerk(ctx, e, nc, "anna", 300*ms, 5500*ms),
			clerk(ctx, e, nc, "anna", 8000*ms, 10*time.Second),
			clerk(ctx, e, nc, "anna", 10200*ms, 0))
	})
	e.Go("ben", func(ctx context.Context, nc *nats.Conn) error { return clerk(ctx, e, nc, "ben", 14500*ms, 0) })
	e.Go("auditor", func(ctx context.Context, nc *nats.Conn) error { return auditor(ctx, e, nc) })
	return nil
}

const ms = time.Millisecond

func office(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	p, err := durable.NewPublisher(ctx, js, "letters", config(e))
	if err != nil {
		return err
	}
	letter := func(text string) *nats.Msg { return &nats.Msg{Data: []byte(text)} }
	post := func(id string, timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ack, err := durable.Publish(ctx, js, "letters", id, letter("by registered mail"))
		switch {
		case errors.Is(err, durable.ErrUnconfirmed):
			e.Printf("office: no ack for %s", id)
			return nil
		case err != nil:
			return err
		case ack.Duplicate:
			e.Printf("office: %s was stored before, as message %d", id, ack.Sequence)
		default:
			e.Printf("office: %s is stored, as message %d", id, ack.Sequence)
		}
		return nil
	}

	e.At(800 * ms)
	e.Tell("The office publishes a letter. The ack of the server means that the letter is stored, and\nno more.")
	e.At(1000 * ms)
	err = post(e.ID("letter"), 5*time.Second)

	e.At(2800 * ms)
	e.Tell("The next ack is lost, and the server crashes. The office cannot tell whether the letter is\nstored. It publishes the letter again, with the same ID.")
	e.Line("office").Delay(200 * ms)
	e.At(3000 * ms)
	second := e.ID("letter")
	err = errors.Join(err, post(second, 100*ms))
	e.At(3300 * ms)
	e.Line("office").Delay(0)
	e.StopServer()
	e.At(4000 * ms)
	e.Printf("the server restarts")
	err = errors.Join(err, e.StartServer())
	e.At(4500 * ms)
	err = errors.Join(err, post(second, 5*time.Second))

	e.At(5800 * ms)
	e.Tell("Anna closes the archive for three seconds. The office waits neither for the archive nor for\neach ack: it sends five letters, and waits once for all five acks.")
	e.At(6000 * ms)
	for range 5 {
		err = errors.Join(err, p.Send(ctx, e.ID("letter"), letter("by registered mail")))
	}
	if flushed := p.Flush(ctx); flushed == nil {
		e.Printf("office: all five are stored")
	} else {
		err = errors.Join(err, flushed)
	}

	e.At(8800 * ms)
	e.Tell("The auditor is a second subscriber. She polls when she wants to, and continues where she\nstopped.")

	e.At(10800 * ms)
	e.Tell("Now what is not guaranteed. Anna files a letter and faints: she disconnects before her ack.\nThe server redelivers the letter to Ben, who files it again. Only an archive that compares\nthe ID can prevent that.")
	e.At(11000 * ms)
	err = errors.Join(err, post(e.ID("letter"), 5*time.Second))

	e.At(15800 * ms)
	e.Tell("Last, a letter that is published with core NATS, without an ack. The connection breaks, and\nthe letter is lost without an error.")
	e.Line("office").Delay(200 * ms)
	e.At(16000 * ms)
	if err := nc.Publish("durable.letters."+e.ID("letter"), nil); err == nil {
		e.Printf("office: published letter-9 without an ack, and got no error")
	}
	e.At(16100 * ms)
	e.Line("office").Cut()
	e.Line("office").Delay(0)
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, p.Close(last))
}

// clerk subscribes with the name of the archive. Each clerk continues where the last stopped.
func clerk(ctx context.Context, e *demo.Env, nc *nats.Conn, name string, from, until time.Duration) error {
	e.At(from)
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	sub, err := durable.NewSubscriber(ctx, js, "letters", "archive", config(e))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if until > 0 {
		go func() { e.At(until); stop() }()
	}
	return sub.Run(ctx, func(_ context.Context, msg durable.Message) error {
		time.Sleep(50 * ms)
		if msg.ID == "letter-8" && name == "anna" {
			e.Printf("anna: files %s, and disconnects before the ack", msg.ID)
			e.Line("anna").Down()
			stop()
			return nil // the ack is lost
		}
		again := ""
		if msg.Delivery > 1 {
			again = " (delivery 2)"
		}
		e.Printf("%s: files %s%s", name, msg.ID, again)
		return nil
	})
}

// auditor polls, and replays at the end.
func auditor(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	e.At(500 * ms)
	sub, err := durable.NewSubscriber(ctx, js, "letters", "auditor", config(e))
	if err != nil {
		return err
	}
	for _, at := range []time.Duration{9000 * ms, 18 * time.Second} {
		if !e.At(at) {
			return nil
		}
		last := ""
		n, err := sub.Poll(ctx, 100, func(_ context.Context, msg durable.Message) error { last = msg.ID; return nil })
		if err != nil {
			return err
		}
		e.Printf("auditor: read %d more, the last is %s", n, last)
	}
	_, err = durable.Replay(ctx, js, "letters", 8, func(_ context.Context, msg durable.Message) error {
		e.Printf("auditor: replays from message 8: %s, and nothing after it", msg.ID)
		return nil
	})
	return err
}
