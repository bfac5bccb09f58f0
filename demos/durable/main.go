// Command durable plays a post office and an archive: letters survive a server that is
// killed and an archive that is closed; then one is filed twice, and one is lost.
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
	About:   "a post office and an archive: the server is killed before its answer, the archive is closed, one letter is filed twice",
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
	post := func(id string, patience time.Duration) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		ack, err := durable.Publish(ctx, js, "letters", id, letter("by registered mail"))
		switch {
		case errors.Is(err, durable.ErrUnconfirmed):
			e.Printf("the office has no answer for %s", id)
			return nil
		case err != nil:
			return err
		case ack.Duplicate:
			e.Printf("the office is told that %s was there already, as number %d", id, ack.Sequence)
		default:
			e.Printf("the office is told that %s is stored, as number %d", id, ack.Sequence)
		}
		return nil
	}

	e.At(800 * ms)
	e.Tell("A letter is posted, and the office is told that it is stored. That, and no more,\nis what the office knows.")
	e.At(1000 * ms)
	err = post(e.ID("letter"), 5*time.Second)

	e.At(2800 * ms)
	e.Tell("The next answer does not come, and the server is killed. Is the letter stored? Nobody in\nthe office can know. So it is posted again, under the same id.")
	e.Line("office").Delay(200 * ms)
	e.At(3000 * ms)
	second := e.ID("letter")
	err = errors.Join(err, post(second, 100*ms))
	e.At(3300 * ms)
	e.Line("office").Delay(0)
	e.StopServer()
	e.At(4000 * ms)
	e.Printf("the server is back")
	err = errors.Join(err, e.StartServer())
	e.At(4500 * ms)
	err = errors.Join(err, post(second, 5*time.Second))

	e.At(5800 * ms)
	e.Tell("Anna locks the archive for three seconds. The office does not wait for it, nor for each\nanswer: five letters go at once, and one question is asked at the end.")
	e.At(6000 * ms)
	for range 5 {
		err = errors.Join(err, p.Send(ctx, e.ID("letter"), letter("by registered mail")))
	}
	if flushed := p.Flush(ctx); flushed == nil {
		e.Printf("the office is told that all five are stored")
	} else {
		err = errors.Join(err, flushed)
	}

	e.At(8800 * ms)
	e.Tell("An auditor comes when she pleases and reads what there is. She too goes on where she\nstopped.")

	e.At(10800 * ms)
	e.Tell("Now what the guarantee is not. Anna files a letter and faints before she can sign for it.\nFiled or not? The server cannot know: it is given to Ben, who files it again. Only an\narchive that looks at the id can tell.")
	e.At(11000 * ms)
	err = errors.Join(err, post(e.ID("letter"), 5*time.Second))

	e.At(15800 * ms)
	e.Tell("And a letter that is only thrown into the box. No error, no answer, a broken line: it\nwas never there, and nobody is told.")
	e.Line("office").Delay(200 * ms)
	e.At(16000 * ms)
	if err := nc.Publish("durable.letters."+e.ID("letter"), nil); err == nil {
		e.Printf("the office has thrown letter-9 into the box: no error")
	}
	e.At(16100 * ms)
	e.Line("office").Cut()
	e.Line("office").Delay(0)
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, p.Close(last))
}

// clerk subscribes under the name of the archive, whoever the clerk is.
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
			e.Printf("anna files %s, and faints", msg.ID)
			e.Line("anna").Down()
			stop()
			return nil // an ack that nobody hears
		}
		again := ""
		if msg.Delivery > 1 {
			again = ", which is given for the second time"
		}
		e.Printf("%s files %s%s", name, msg.ID, again)
		return nil
	})
}

// auditor polls.
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
		e.Printf("the auditor has read %d more, the last of them %s", n, last)
	}
	_, err = durable.Replay(ctx, js, "letters", 8, func(_ context.Context, msg durable.Message) error {
		e.Printf("the auditor looks again from number 8: %s, and nothing after it", msg.ID)
		return nil
	})
	return err
}
