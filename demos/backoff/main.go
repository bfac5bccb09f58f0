// Command backoff shows a shop whose bank is busy, then down, then slow: payments are
// retried with backoff and a circuit breaker, and none is lost; one of the old till is.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

var play = demo.Play{
	Name:    "backoff",
	About:   "a till and a bank that is busy, then down, then slow: payments are retried with backoff, a breaker and backpressure",
	Lasts:   20 * time.Second,
	Streams: []string{"BACKOFF_payments", "OLD"},
	Scene:   [2]time.Duration{4900 * time.Millisecond, 10900 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

const ms = time.Millisecond

func config(e *demo.Env) backoff.Config {
	return backoff.Config{
		MaxDeliver: 4, ScheduleAfter: 1500 * ms, Timeout: time.Second, Concurrency: 1, MaxWaiting: 4, Log: e.Log(), Metadata: e.Mark(),
	}
}

// policy is the policy of one till: backoff without jitter, a budget and a breaker.
func policy() (*retry.Retrier, error) {
	return retry.NewRetrier(retry.Config{
		Policy:  retry.Policy{Initial: 500 * ms, Max: 4 * time.Second},
		Breaker: &retry.Breaker{Failures: 3, Delay: retry.Policy{Initial: time.Second, Max: 2 * time.Second}},
	})
}

func cast(e *demo.Env) error {
	e.Go("shop", func(ctx context.Context, nc *nats.Conn) error { return shop(ctx, e, nc) })
	e.Go("till", func(ctx context.Context, nc *nats.Conn) error { return till(ctx, e, nc) })
	e.Go("old-till", func(ctx context.Context, nc *nats.Conn) error { return oldTill(ctx, e, nc) })
	return nil
}

func shop(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	s, err := backoff.NewSender(ctx, js, "payments", config(e))
	if err != nil {
		return err
	}
	pay := func(at time.Duration, how string) {
		if e.At(at) {
			err = errors.Join(err, s.Send(ctx, e.ID("payment"), &nats.Msg{Data: []byte(how)}))
		}
	}
	pay(1000*ms, "well")

	e.At(1800 * ms)
	e.Tell("The bank is busy for a second. The till retries after half a second, and after one more.")
	pay(2000*ms, "well")

	e.At(4800 * ms)
	e.Tell("The bank is down for four and a half seconds. Three failures in a row open the breaker:\nthis till stops fetching, and new payments wait in the stream. Now and then it makes one probe.")
	for i := range 4 {
		pay(time.Duration(5000+100*i)*ms, "well")
	}

	e.At(11800 * ms)
	e.Tell("An account is locked for a while. A delay of two seconds is a message schedule in the\nstream, not a nak. It holds no slot of the consumer, and other payments are handled.")
	pay(12000*ms, "locked")
	pay(12200*ms, "well")
	pay(13700*ms, "well")

	e.At(15800 * ms)
	e.Tell("There is no such account. A retry cannot help: the payment fails at once, and is stored.")
	pay(16000*ms, "nobody")
	e.At(16300 * ms)
	st, serr := js.Stream(ctx, "BACKOFF_payments")
	if serr != nil {
		return serr
	}
	m, serr := st.GetLastMsgForSubject(ctx, "backoff.payments.failed.payment-10")
	if serr != nil {
		return serr
	}
	e.Printf("the shop reads failed payment-10: %s (attempts: %s)", m.Header.Get(backoff.HeaderReason), m.Header.Get(backoff.HeaderDeliveries))

	e.At(16800 * ms)
	e.Tell("Many customers, and the bank is slow. When four payments wait, Send returns ErrFull.")
	e.At(17000 * ms)
	for i := 0; i < 6 && e.At(time.Duration(17000+300*i)*ms); i++ {
		id := e.ID("payment")
		sent := s.Send(ctx, id, &nats.Msg{Data: []byte("slow")})
		switch {
		case errors.Is(sent, backoff.ErrFull):
			e.Printf("the queue is full: the shop keeps %s, to send it later", id)
		case sent != nil:
			return sent
		}
	}
	return err
}

// till is the worker, and the bank is what it calls.
func till(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	e.At(200 * ms)
	cfg := config(e)
	cfg.Policy, err = policy()
	if err != nil {
		return err
	}
	w, err := backoff.NewWorker(ctx, js, "payments", cfg)
	if err != nil {
		return err
	}
	return w.Run(ctx, func(ctx context.Context, msg backoff.Message) error {
		err := bank(ctx, time.Since(e.Start()), string(msg.Data))
		again := ""
		if msg.Delivery > 1 {
			again = fmt.Sprintf(", at attempt %d", msg.Delivery)
		}
		if err != nil {
			e.Printf("%s is not paid%s: %v", msg.ID, again, err)
			return err
		}
		e.Printf("%s is paid%s", msg.ID, again)
		return nil
	})
}

func bank(ctx context.Context, at time.Duration, how string) error {
	between := func(from, to time.Duration) bool { return at >= from && at < to }
	switch {
	case between(2000*ms, 3000*ms):
		return errors.New("the bank is busy")
	case between(5000*ms, 9500*ms):
		return errors.New("the bank is down")
	case how == "locked" && at < 14500*ms:
		return errors.New("the account is locked")
	case how == "nobody":
		return fmt.Errorf("%w: no such account", backoff.ErrPoison)
	case how == "slow":
		select {
		case <-time.After(950 * ms):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// oldTill is a common consumer loop: MaxDeliver, BackOff, and a bare nak.
func oldTill(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "OLD", Subjects: []string{"old.*"}, Retention: jetstream.WorkQueuePolicy, Metadata: e.Mark()})
	if err != nil {
		return err
	}
	cons, err := js.CreateConsumer(ctx, "OLD", jetstream.ConsumerConfig{Durable: "old", AckPolicy: jetstream.AckExplicitPolicy,
		MaxDeliver: 5, BackOff: []time.Duration{500 * ms, time.Second}})
	if err != nil {
		return err
	}
	if !e.At(19 * time.Second) {
		return nil
	}
	e.Tell("The old till has BackOff in its consumer and a bare nak in its code. Five attempts take\nno time: the bank is busy for a tenth of a second.")
	if _, err := js.Publish(ctx, "old.payment", nil); err != nil {
		return err
	}
	for attempt := 1; attempt <= 5; attempt++ {
		batch, err := cons.Fetch(1, jetstream.FetchMaxWait(100*ms))
		if err != nil {
			return err
		}
		for msg := range batch.Messages() {
			e.Printf("the old till: the bank is busy, at attempt %d", attempt)
			if err := msg.Nak(); err != nil {
				return err
			}
		}
	}
	e.At(19500 * ms)
	batch, err := cons.Fetch(1, jetstream.FetchMaxWait(200*ms))
	if err != nil {
		return err
	}
	if _, ok := <-batch.Messages(); !ok {
		e.Printf("the old till receives nothing: the payment stays in the stream, and is never redelivered")
	}
	return nil
}
