package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/internal/natstest"
)

const good = `{"customer":{"name":"Ann","email":"ann@example.com"},"items":[{"sku":"tea","quantity":2,"unit_price":450}],"currency":"EUR","card":"tok_visa"}`

// opened calls f as the only customer of the system, two seconds after it opened.
func opened(t *testing.T, f func(t *testing.T, s *system, client *http.Client)) {
	natstest.Bubble(t, func(t *testing.T, srv *natstest.Server) {
		cast, over, performed := make(chan *system), make(chan struct{}), make(chan error, 1)
		p := play
		p.Lasts = 10 * time.Minute
		p.Cast = func(e *demo.Env) error {
			s := &system{Env: e}
			s.act = func(ctx context.Context, _ *nats.Conn) error {
				if s.At(2 * time.Second) {
					cast <- s
					<-over
				}
				return nil
			}
			return s.cast()
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			performed <- p.Perform(ctx, demo.Stage{Server: srv.Server, Memory: true, Out: io.Discard})
		}()
		s := <-cast
		client := s.Client()
		t.Cleanup(func() {
			client.CloseIdleConnections()
			close(over)
			cancel()
			require.NoError(t, <-performed)
		})
		f(t, s, client)
	})
}

// ask makes a request; header lines are "Name: value".
func ask(t *testing.T, client *http.Client, method, path, body string, header ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, "http://shop"+path, strings.NewReader(body))
	require.NoError(t, err)
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if req.Header.Set(name, value); name == "Host" {
			req.Host = value
		}
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// told reads an answer whole.
func told[T any](t *testing.T, resp *http.Response, status int) (v T) {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, status, resp.StatusCode, "%s", data)
	require.NoError(t, json.Unmarshal(data, &v), "%s", data)
	return v
}

type problem struct {
	Title, Detail, Field string
	Status               int
}

func TestRefusals(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	opened(t, func(t *testing.T, _ *system, client *http.Client) {
		for _, tc := range []struct {
			method, path, body, header string
			status                     int
			field                      string
		}{
			{"POST", "/orders", with(`"card"`, `"cart"`), "", 400, "cart"},
			{"POST", "/orders", with(`"sku"`, `"skew"`), "", 400, "skew"},
			{"POST", "/orders", `{"customer":`, "", 400, ""},
			{"POST", "/orders", ``, "", 400, ""},
			{"POST", "/orders", `null`, "", 400, "customer.name"},
			{"POST", "/orders", good + good, "", 400, ""},
			{"POST", "/orders", good + strings.Repeat(" ", 70_000), "", 413, ""},
			{"POST", "/orders", with("tea", strings.Repeat("x", 70_000)), "", 413, ""},
			{"POST", "/orders", with("450", "-1"), "", 400, "items[0].unit_price"},
			{"POST", "/orders", with("450", "4.5"), "", 400, "items.unit_price"},
			{"POST", "/orders", with(`"quantity":2`, `"quantity":-2`), "", 400, "items[0].quantity"},
			{"POST", "/orders", with("ann@example.com", `ann@example.com\r\nBcc: all@example.com`), "", 400, "customer.email"},
			{"POST", "/orders", with(`"Ann"`, `"Ann\r\n\r\nYou owe us money"`), "", 400, "customer.name"},
			{"POST", "/orders", with("tea", `tea\n  1 x gold`), "", 400, "items[0].sku"},
			{"POST", "/orders", with("tok_visa", "4111111111111111"), "", 400, "card"},
			{"POST", "/orders", with("EUR", "Euro"), "", 400, "currency"},
			{"POST", "/orders", good, "Idempotency-Key: " + strings.Repeat("k", 201), 400, "Idempotency-Key"},
			{"POST", "/orders", good, "Idempotency-Key: clé", 400, "Idempotency-Key"},
			{"POST", "/orders", good, "Origin: http://evil.example", 403, ""},
			{"POST", "/orders", good, "Host: evil.example", 421, "Host"},
			{"GET", "/orders/order-77", "", "", 404, ""},
			{"GET", "/orders/a.b", "", "", 400, "id"},
			{"GET", "/orders/%2A", "", "", 400, "id"},
			{"GET", "/orders/%00", "", "", 400, "id"},
			{"GET", "/orders/order-77/events", "", "", 404, ""},
			{"GET", "/orders/%3E/events", "", "", 400, "id"},
			{"GET", "/orders/order-77/events", "", "Host: evil.example", 421, "Host"},
			{"GET", "/invoices/inv-77", "", "", 404, ""},
			{"GET", "/invoices/%3E", "", "", 400, "id"},
			{"GET", "/orders?limit=0", "", "", 400, "limit"},
			{"GET", "/orders?limit=101", "", "", 400, "limit"},
			{"GET", "/orders?limit=x", "", "", 400, "limit"},
			{"GET", "/orders?after=order-77", "", "", 400, "after"},
			{"GET", "/", "", "", 404, ""},
			{"GET", "/order", "", "", 404, ""},
			{"DELETE", "/orders", "", "", 405, ""},
			{"POST", "/healthz", "", "", 405, ""},
		} {
			name := fmt.Sprintf("%s %s %.100s %.40s", tc.method, tc.path, tc.body, tc.header)
			var header []string
			if tc.header != "" {
				header = []string{tc.header}
			}
			resp := ask(t, client, tc.method, tc.path, tc.body, header...)
			require.Equal(t, tc.status, resp.StatusCode, name)
			require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"), name)
			p := told[problem](t, resp, tc.status)
			require.Equal(t, tc.field, p.Field, "%s: %+v", name, p)
			require.Equal(t, http.StatusText(tc.status), p.Title)
			require.Equal(t, tc.status, p.Status)
			require.NotEmpty(t, p.Detail, name)
			if tc.status == 405 {
				require.NotEmpty(t, resp.Header.Get("Allow"), name)
			}
		}
		all := told[struct{ Orders []order.Order }](t, ask(t, client, "GET", "/orders", ""), 200)
		require.Empty(t, all.Orders, "what is refused leaves nothing behind")
	})
}

func TestOrders(t *testing.T) {
	opened(t, func(t *testing.T, s *system, client *http.Client) {
		require.Equal(t, map[string]string{"status": "alive"}, told[map[string]string](t, ask(t, client, "GET", "/healthz", ""), 200))
		require.Equal(t, map[string]string{"status": "ready"}, told[map[string]string](t, ask(t, client, "GET", "/readyz", ""), 200))

		for _, host := range []string{"SHOP", "shop:8080", "localhost", "[::1]", "[::1]:8080"} {
			require.Equal(t, 200, ask(t, client, "GET", "/healthz", "", "Host: "+host).StatusCode, host)
		}

		resp := ask(t, client, "POST", "/orders", good, "Idempotency-Key: k-1")
		first := told[order.Order](t, resp, 202)
		require.Equal(t, "/orders/"+first.ID, resp.Header.Get("Location"))
		require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
		require.Equal(t, order.Placed, first.History[0].Status, "it may be paid for already")
		require.EqualValues(t, 900, first.Total)
		require.Equal(t, first.ID, told[order.Order](t, ask(t, client, "GET", resp.Header.Get("Location"), ""), 200).ID, "at once")

		time.Sleep(3 * time.Second)
		again := told[order.Order](t, ask(t, client, "POST", "/orders", good, "Idempotency-Key: k-1"), 202)
		require.Equal(t, first.ID, again.ID)
		require.Equal(t, order.Delivered, again.Status)
		require.Len(t, again.History, 5)
		for _, other := range []string{strings.Replace(good, "tea", "cup", 1), strings.Replace(good, "tok_visa", "tok_mc", 1)} {
			p := told[problem](t, ask(t, client, "POST", "/orders", other, "Idempotency-Key: k-1"), 422)
			require.Equal(t, "Idempotency-Key", p.Field)
		}
		require.EqualValues(t, 900, s.bank.Charged(), "once")
		require.NotContains(t, string(told[json.RawMessage](t, ask(t, client, "GET", "/orders/"+first.ID, ""), 200)), "tok_")
		inv := told[map[string]any](t, ask(t, client, "GET", "/invoices/"+again.Invoice, ""), 200)
		require.EqualValues(t, 900, inv["total"])

		var ids []string
		for range 3 {
			ids = append(ids, told[order.Order](t, ask(t, client, "POST", "/orders", strings.Replace(good, "tok_visa", "tok_declined", 1)), 202).ID)
		}
		time.Sleep(100 * time.Millisecond)
		type page struct {
			Orders []order.Order
			Next   string
		}
		one := told[page](t, ask(t, client, "GET", "/orders?limit=2", ""), 200)
		require.Len(t, one.Orders, 2)
		two := told[page](t, ask(t, client, "GET", one.Next, ""), 200)
		require.Len(t, two.Orders, 2)
		require.Empty(t, two.Next)
		require.Equal(t, append([]string{first.ID}, ids...), []string{one.Orders[0].ID, one.Orders[1].ID, two.Orders[0].ID, two.Orders[1].ID})
		require.Equal(t, order.Declined, two.Orders[1].Status)
	})
}
