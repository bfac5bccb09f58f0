package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/demos/ordering/order"
)

// A client that comes back hears what it has not heard, from the first event on.
func TestResume(t *testing.T) {
	opened(t, func(t *testing.T, _ *system, client *http.Client) {
		id := told[order.Order](t, ask(t, client, "POST", "/orders", good), 202).ID
		time.Sleep(3 * time.Second)
		hear := func(n int, header ...string) (at []string, what []order.Status) {
			resp := ask(t, client, "GET", "/orders/"+id+"/events", "", append(header, "Accept: text/event-stream")...)
			require.Equal(t, 200, resp.StatusCode)
			require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
			for lines := bufio.NewScanner(resp.Body); len(what) < n && lines.Scan(); {
				if pos, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
					at = append(at, pos)
				}
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					var f order.Fact
					require.NoError(t, json.Unmarshal([]byte(data), &f))
					what = append(what, f.Status)
				}
			}
			require.NoError(t, resp.Body.Close())
			return at, what
		}
		at, what := hear(5)
		require.Equal(t, []order.Status{order.Placed, order.Paid, order.Invoiced, order.Assigned, order.Delivered}, what)
		_, rest := hear(3, "Last-Event-ID: "+at[1])
		require.Equal(t, what[2:], rest)
		p := told[problem](t, ask(t, client, "GET", "/orders/"+id+"/events", "", "Last-Event-ID: x"), 400)
		require.NotEmpty(t, p.Detail)
	})
}

// An address that takes no mail must not keep the others from theirs.
func TestAddressUnknown(t *testing.T) {
	opened(t, func(t *testing.T, s *system, client *http.Client) {
		for _, body := range []string{strings.Replace(good, "ann@example.com", "ann@shop.invalid", 1), good} {
			told[order.Order](t, ask(t, client, "POST", "/orders", strings.Replace(body, "tok_visa", "tok_declined", 1)), 202)
		}
		time.Sleep(2 * time.Second)
		mails := s.box.all()
		require.Len(t, mails, 1)
		require.Equal(t, "ann@example.com", mails[0].To)
	})
}

// A body that never ends is not waited for without end.
func TestSlowBody(t *testing.T) {
	opened(t, func(t *testing.T, _ *system, client *http.Client) {
		never, w := io.Pipe()
		t.Cleanup(func() { _ = w.Close() })
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://shop/orders", never)
		require.NoError(t, err)
		start := time.Now()
		resp, err := client.Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		told[problem](t, resp, 408)
		require.Equal(t, 10*time.Second, time.Since(start))
	})
}

// With the service away that takes orders, the shop is alive but not ready.
func TestNotReady(t *testing.T) {
	opened(t, func(t *testing.T, s *system, client *http.Client) {
		s.Line("order-storage").Down()
		time.Sleep(100 * time.Millisecond)
		told[map[string]string](t, ask(t, client, "GET", "/healthz", ""), 200)
		resp := ask(t, client, "GET", "/readyz", "")
		require.NotEmpty(t, resp.Header.Get("Retry-After"))
		told[problem](t, resp, 503)
		told[problem](t, ask(t, client, "POST", "/orders", good, "Idempotency-Key: k-1"), 503)
		s.Line("order-storage").Up()
		time.Sleep(time.Second)
		told[map[string]string](t, ask(t, client, "GET", "/readyz", ""), 200)
		told[order.Order](t, ask(t, client, "POST", "/orders", good, "Idempotency-Key: k-1"), 202)
	})
}

// A driver who has delivered while nobody keeps orders tells it when somebody does,
// however long that takes.
func TestStorageAway(t *testing.T) {
	opened(t, func(t *testing.T, s *system, client *http.Client) {
		id := told[order.Order](t, ask(t, client, "POST", "/orders", good), 202).ID
		time.Sleep(500 * time.Millisecond) // a driver is on the way
		s.Line("order-storage").Down()
		time.Sleep(5 * time.Minute)
		s.Line("order-storage").Up()
		time.Sleep(10 * time.Second)
		o := told[order.Order](t, ask(t, client, "GET", "/orders/"+id, ""), 200)
		require.Equal(t, order.Delivered, o.Status, "%+v", o)
	})
}
