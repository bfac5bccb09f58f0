package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/demos/ordering/order"
)

var histories = flag.Uint64("histories", 4, "fault histories to go through")

// Whatever happens to wires and server: an order that was taken is paid for once and
// delivered, or declined and not paid for, and its customer is told. The seed of a
// history that fails is printed; -histories 200 goes through more.
func TestConservation(t *testing.T) {
	for seed := range *histories {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			opened(t, func(t *testing.T, s *system, client *http.Client) {
				chance := rand.New(rand.NewPCG(seed, 0))
				healed := make(chan struct{})
				go func() { defer close(healed); s.suffer(t, chance) }()
				want := map[string]order.Status{} // of each order that was taken
				for i := range 12 {
					card, status := "tok_visa", order.Delivered
					if i%4 == 3 {
						card, status = "tok_declined", order.Declined
					}
					id := insist(t, client, strings.Replace(good, "tok_visa", card, 1), fmt.Sprint("key-", i))
					require.NotContains(t, want, id, "two orders under one name")
					want[id] = status
					time.Sleep(time.Duration(300+10*i) * time.Millisecond)
				}
				<-healed
				time.Sleep(3 * time.Minute) // for retries, and for drivers: a trip takes one second
				var subjects []string
				for _, l := range s.box.all() {
					subjects = append(subjects, l.Subject)
				}
				all, owed := strings.Join(subjects, "\n"), 0
				for id, status := range want {
					o := told[order.Order](t, ask(t, client, "GET", "/orders/"+id, ""), 200)
					require.Equal(t, status, o.Status, "%+v", o)
					if status == order.Declined {
						require.Len(t, o.History, 2)
						require.Contains(t, all, "order "+id+" could not be paid")
						continue
					}
					owed += 900
					require.Len(t, o.History, 5, "%+v", o)
					require.Contains(t, all, "invoice "+o.Invoice)
					require.Contains(t, all, "order "+id+" has been delivered")
				}
				require.EqualValues(t, owed, s.bank.Charged())
				listed := told[struct{ Orders []order.Order }](t, ask(t, client, "GET", "/orders?limit=100", ""), 200)
				require.Len(t, listed.Orders, len(want))
			})
		})
	}
}

// insist places an order until it is told that it was taken.
func insist(t *testing.T, client *http.Client, body, key string) string {
	for start := time.Now(); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		req, err := http.NewRequestWithContext(ctx, "POST", "http://shop/orders", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Idempotency-Key", key)
		resp, err := client.Do(req)
		if err == nil && resp.StatusCode == http.StatusAccepted {
			id := told[order.Order](t, resp, http.StatusAccepted).ID
			cancel()
			return id
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		cancel()
		require.Less(t, time.Since(start), 2*time.Minute, "no order is taken any more: %v", err)
		time.Sleep(500 * time.Millisecond)
	}
}

// suffer cuts wires and restarts the server, and leaves all whole.
func (s *system) suffer(t *testing.T, chance *rand.Rand) {
	names := []string{"order-storage", "payment-processor", "create-invoice", "assign-delivery", "email-notify", "order-status", "driver-max", "driver-mia"}
	for range 8 {
		time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
		line := s.Line(names[chance.IntN(len(names))])
		switch chance.IntN(4) {
		case 0, 1:
			line.Cut()
		case 2:
			line.Down()
			time.Sleep(time.Duration(chance.IntN(5000)) * time.Millisecond)
			line.Up()
		case 3:
			// A server that stops holds a lock for 50ms, on which who asks for a consumer
			// then would wait, and the clock with him: so it goes without a word.
			for _, name := range names {
				s.Line(name).Down()
			}
			s.StopServer()
			time.Sleep(time.Duration(chance.IntN(2000)) * time.Millisecond)
			if err := s.StartServer(); err != nil {
				t.Error(err)
			}
			for _, name := range names {
				s.Line(name).Up()
			}
		}
	}
}
