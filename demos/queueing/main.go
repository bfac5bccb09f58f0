// Command queueing plays a parcel service: couriers share a work queue, one of them is
// disconnected, one parcel fails, and a queue group shows which jobs it loses.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/queueing"
)

var play = demo.Play{
	Name:    "queueing",
	About:   "workers share a work queue: one is disconnected, a job fails, a standby helps; then a queue group loses jobs",
	Lasts:   20 * time.Second,
	Streams: []string{"JOBS_parcels", "FAILED_parcels"},
	Scene:   [2]time.Duration{2900 * time.Millisecond, 13100 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

func config(e *demo.Env) queueing.Config {
	return queueing.Config{AckWait: 2 * time.Second, MaxDeliver: 3, Backoff: 500 * time.Millisecond, Log: e.Log(), Metadata: e.Mark()}
}

func cast(e *demo.Env) error {
	e.Go("shop", func(ctx context.Context, nc *nats.Conn) error { return shop(ctx, e, nc) })
	e.Go("desk", func(ctx context.Context, nc *nats.Conn) error { return desk(ctx, e, nc) })
	for _, c := range []struct {
		name     string
		from     time.Duration
		priority int
	}{{"anna", 200 * time.Millisecond, 0}, {"ben", 300 * time.Millisecond, 0}, {"carl", 13400 * time.Millisecond, 1}} {
		e.Go(c.name, func(ctx context.Context, nc *nats.Conn) error {
			e.At(c.from)
			cfg := config(e)
			cfg.Priority = c.priority
			return courier(ctx, e, nc, c.name, cfg)
		})
	}
	e.Go("phones", func(ctx context.Context, nc *nats.Conn) error { return phones(ctx, e, nc) })
	return nil
}

// courier delivers parcels; the payload of a job is what happens to it.
func courier(ctx context.Context, e *demo.Env, nc *nats.Conn, name string, cfg queueing.Config) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	w, err := queueing.NewWorker(ctx, js, "parcels", cfg)
	if err != nil {
		return err
	}
	return w.Run(ctx, func(_ context.Context, job queueing.Message) error {
		parcel, what := job.Header.Get("Parcel"), string(job.Data)
		switch what {
		case "heavy":
			time.Sleep(3 * time.Second)
		case "canal":
			if name == "anna" {
				time.Sleep(400 * time.Millisecond)
				e.Printf("%s handled %s and was disconnected before the ack", name, parcel)
				e.Line("anna").Down()
				time.Sleep(100 * time.Millisecond)
				return nil // the ack is lost
			}
			fallthrough
		default:
			time.Sleep(500 * time.Millisecond)
		case "nobody home":
			e.Printf("%s: error for %s: nobody home", name, parcel)
			return errors.New("nobody home")
		case "no address":
			e.Printf("%s: permanent error for %s: no address", name, parcel)
			return fmt.Errorf("%w: no address", queueing.ErrPoison)
		}
		e.Printf("%s handled %s", name, parcel)
		return nil
	})
}

// desk receives the failed parcels.
func desk(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	sub, err := nc.SubscribeSync("failed.parcels.*")
	if err != nil {
		return err
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil // the end of the play
		}
		e.Printf("desk: %s failed at delivery %s: %s", msg.Header.Get("Parcel"), msg.Header.Get(queueing.HeaderDeliveries), msg.Header.Get(queueing.HeaderReason))
	}
}

func shop(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	if err := queueing.Provision(ctx, js, "parcels", config(e)); err != nil {
		return err
	}
	send := func(at time.Duration, what ...string) {
		e.At(at)
		for _, what := range what {
			id := e.ID("parcel")
			_, fail := queueing.Send(ctx, js, "parcels", id, &nats.Msg{Header: nats.Header{"Parcel": {id}}, Data: []byte(what)})
			err = errors.Join(err, fail)
		}
	}
	check := func(at time.Duration, ids ...string) {
		e.At(at)
		for _, id := range ids {
			is, fail := queueing.Check(ctx, js, "parcels", id)
			err = errors.Join(err, fail)
			e.Printf("shop: Check(%s) is %s", id, is.State)
		}
	}
	const ms = time.Millisecond

	e.At(700 * ms)
	e.Tell("Two workers, anna and ben, share the work queue \"parcels\". The server delivers each job\nto one of them.")
	send(900*ms, "easy")
	send(1000*ms, "easy")
	send(1100*ms, "easy")
	send(1200*ms, "easy")

	e.At(2800 * ms)
	e.Tell("Anna handles parcel-5 and is disconnected before her ack reaches the server. After\nAckWait (2 s) the server redelivers the job to ben: it is handled twice.")
	send(3000*ms, "canal")

	e.At(6800 * ms)
	e.Tell("parcel-6 takes 3 s, longer than AckWait. The worker sends in-progress every 0.67 s, so\nthe server does not redeliver the job.")
	send(7*time.Second, "heavy")

	e.At(10500 * ms)
	e.Tell("The handler returns an error for parcel-7. The worker naks the job with a delay of 0.5 s,\nthen of 1 s. The third attempt is the last one: the job moves to FAILED_parcels.")
	send(10700*ms, "nobody home")
	check(11*time.Second, "parcel-7")
	check(12500*ms, "parcel-7")
	e.At(12700 * ms)
	e.Tell("The handler returns ErrPoison for parcel-8. The job fails without a retry.")
	send(12900*ms, "no address")
	check(13200*ms, "parcel-8", "parcel-6")

	e.At(13300 * ms)
	e.Tell("Carl joins with Priority 1: he is a standby. He receives a job only when no worker of\npriority 0 is waiting for one.")
	send(13500*ms, "easy")
	send(14100*ms, "easy")
	send(14200*ms, "easy")

	e.At(14800 * ms)
	e.Tell("A queue group stores nothing. Nobody has subscribed yet when call-1 is published, so it\nis lost, and the publisher receives no error.")
	call := func(at time.Duration) {
		e.At(at)
		id := e.ID("call")
		err = errors.Join(err, queueing.Offer(ctx, nc, "calls", id, &nats.Msg{}))
		e.Printf("shop: published %s", id)
	}
	call(15 * time.Second)
	e.At(15800 * ms)
	e.Tell("With two members, the server delivers each call to one of them.")
	for i := range 4 {
		call(16*time.Second + time.Duration(i)*100*ms)
	}
	e.At(17500 * ms)
	e.Tell("The members are disconnected while one of them handles call-6. The call is not\nredelivered: a queue group delivers at most once.")
	call(17700 * ms)
	return err
}

// phones are two members of a queue group; the server picks one at random.
func phones(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(15500 * time.Millisecond)
	var answered atomic.Int64
	ended := make(chan error, 2)
	for range cap(ended) {
		m, err := queueing.NewMember(ctx, nc, "calls", queueing.Config{Grace: time.Second, Log: e.Log()})
		if err != nil {
			return err
		}
		go func() {
			ended <- m.Run(ctx, func(context.Context, queueing.Message) error {
				time.Sleep(200 * time.Millisecond)
				if nc.IsConnected() {
					answered.Add(1)
				}
				return nil
			})
		}()
	}
	e.At(17 * time.Second)
	e.Printf("%d of 5 calls were answered", answered.Load())
	e.At(17800 * time.Millisecond)
	e.Line("phones").Down()
	e.At(18400 * time.Millisecond)
	e.Line("phones").Up()
	e.At(19 * time.Second)
	e.Printf("%d of 6 calls were answered; call-1 and call-6 are lost", answered.Load())
	return errors.Join(<-ended, <-ended)
}
