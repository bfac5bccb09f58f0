// Command retry shows a shop that requests exchange rates from a bank: the bank is busy,
// refuses a currency, and is down. The shop retries with backoff, a budget and a breaker.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/retry"
)

var play = demo.Play{
	Name:  "retry",
	About: "a shop requests rates from a bank that is busy, then down: it retries, then stops calling, then recovers",
	Lasts: 20 * time.Second,
	Scene: [2]time.Duration{1900 * time.Millisecond, 4500 * time.Millisecond},
	Cast:  cast,
}

func main() { play.Main() }

const (
	ms      = time.Millisecond
	subject = "bank.rates"
)

func cast(e *demo.Env) error {
	e.Go("bank", func(ctx context.Context, nc *nats.Conn) error { return bank(ctx, e, nc) })
	e.Go("shop", func(ctx context.Context, nc *nats.Conn) error { return shop(ctx, e, nc) })
	return nil
}

// bank replies to requests for rates. It is busy from 2 s to 3 s, and down from 6 s to 12 s.
func bank(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	serve := func(from, to time.Duration) error {
		if !e.At(from) {
			return nil
		}
		sub, err := nc.Subscribe(subject, func(m *nats.Msg) {
			at, reply := time.Since(e.Start()), "1.08"
			if at >= 2*time.Second && at < 3*time.Second {
				reply = "busy"
			} else if string(m.Data) == "XXX" {
				reply = "unknown"
			}
			if err := m.Respond([]byte(reply)); err != nil {
				e.Log().Warn("could not reply", "err", err)
			}
		})
		if err != nil {
			return err
		}
		e.At(to)
		return sub.Unsubscribe()
	}
	if err := serve(0, 6*time.Second); err != nil {
		return err
	}
	return serve(12*time.Second, 20*time.Second)
}

// shop requests a rate with a Retrier, which it has for this dependency alone.
func shop(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	breaker := &retry.Breaker{Failures: 4, Delay: retry.Policy{Initial: 2 * time.Second, Max: 4 * time.Second}}
	r, err := retry.NewRetrier(retry.Config{
		Policy:      retry.Policy{Initial: 400 * ms, Max: 2 * time.Second}, // without jitter, so that the demo repeats
		MaxAttempts: 3,
		Breaker:     breaker,
	})
	if err != nil {
		return err
	}
	rate := func(at time.Duration, currency string) {
		if !e.At(at) {
			return
		}
		attempt, value := 0, ""
		err := r.Do(ctx, func(ctx context.Context) (err error) {
			attempt++
			value, err = request(ctx, nc, currency)
			if err != nil {
				e.Printf("%s, attempt %d: %v", currency, attempt, err)
			}
			return err
		})
		state, _ := breaker.State()
		switch {
		case ctx.Err() != nil:
		case err == nil:
			e.Printf("%s costs %s", currency, value)
		case errors.Is(err, retry.ErrOpen):
			e.Printf("%s: the breaker is %s; the shop uses the rate of yesterday", currency, state)
		default:
			e.Printf("%s: no rate after %d attempts; the breaker is %s", currency, attempt, state)
		}
	}
	rate(1000*ms, "USD")

	e.At(1800 * ms)
	e.Tell("The bank is busy for a second. The shop retries after 0.4 s, and after 0.8 s more.")
	rate(2000*ms, "USD")

	e.At(4800 * ms)
	e.Tell("The bank does not know the currency. The error is permanent, so there is no retry.")
	rate(5000*ms, "XXX")

	e.At(5900 * ms)
	e.Tell("The bank is down for six seconds: no service replies. The fourth failure in a row opens\nthe breaker. While it is open, the shop makes no request.")
	for i := range 6 {
		rate(time.Duration(6500+1500*i)*ms, "USD")
	}

	e.At(14000 * ms)
	e.Tell("The bank is back. When the breaker is half-open, one request is a probe. It succeeds,\nand closes the breaker.")
	for i := range 4 {
		rate(time.Duration(14500+1000*i)*ms, "USD")
	}
	return nil
}

func request(ctx context.Context, nc *nats.Conn, currency string) (string, error) {
	reply, err := nc.RequestWithContext(ctx, subject, []byte(currency))
	if err != nil {
		return "", err
	}
	switch value := string(reply.Data); value {
	case "busy":
		return "", errors.New("the bank is busy")
	case "unknown":
		return "", fmt.Errorf("%w: the bank does not know %s", retry.ErrPermanent, currency)
	default:
		return value, nil
	}
}
