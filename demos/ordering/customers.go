package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/demos/ordering/createinvoice"
	"github.com/natspatterns/catalog/demos/ordering/order"
)

// hosts are the names by which the shop may be called.
func (s *system) hosts(at net.Addr) []string {
	host, _, err := net.SplitHostPort(at.String())
	if err != nil {
		host = "127.0.0.1"
	}
	return []string{"localhost", "127.0.0.1", "::1", "shop", host}
}

// usage tells a person what can be done with a shop that is served.
func (s *system) usage() {
	url := s.URL("shop")
	s.Tell(`The shop is open at %[1]s. Place an order:

  curl -i %[1]s/orders -H 'Idempotency-Key: my-first' -d '{
    "customer": {"name": "Ann", "email": "ann@example.com"},
    "items": [{"sku": "tea", "quantity": 2, "unit_price": 450}],
    "currency": "EUR", "card": "tok_visa"}'

and see what becomes of it (the card tok_declined is declined):

  curl %[1]s/orders?limit=10
  curl -N %[1]s/orders/ID/events -H 'Accept: text/event-stream'
  curl %[1]s/invoices/inv-ID

The mail that is sent appears here. Ctrl-C closes the shop.`, url)
}

// customers place three orders and tell what becomes of them.
func (s *system) customers(ctx context.Context, _ *nats.Conn) error {
	client := s.Client()
	defer client.CloseIdleConnections()
	web := &browser{ctx, client}
	ann := order.Placement{
		Customer: order.Customer{Name: "Ann", Email: "ann@example.com"}, Currency: "EUR", Card: "tok_visa",
		Items: []order.Item{{SKU: "tea", Quantity: 2, UnitPrice: 450}, {SKU: "cup", Quantity: 1, UnitPrice: 1200}},
	}
	if !s.At(1900 * time.Millisecond) {
		return nil
	}
	s.Tell("Ann orders two teas and a cup. Her order is taken at once; what happens to it is\ntold as it happens.")
	if err := s.follow(web, 2*time.Second, ann, "ann-1"); err != nil || !s.At(3400*time.Millisecond) {
		return err
	}
	s.Tell("Her browser was not sure that the order went through, and sends it again, with\nthe same Idempotency-Key.")
	o, err := web.place(ann, "ann-1")
	if err != nil {
		return err
	}
	s.Printf("it is the same order, and it is %s", o.Status)
	if !s.At(3900 * time.Millisecond) {
		return nil
	}
	s.Tell("Bob's card is declined.")
	bob := order.Placement{Customer: order.Customer{Name: "Bob", Email: "bob@example.com"}, Currency: "EUR", Card: "tok_declined", Items: ann.Items[1:]}
	if err := s.follow(web, 4*time.Second, bob, ""); err != nil || !s.At(6400*time.Millisecond) {
		return err
	}
	s.Tell("The payment service is down. Cleo's order is taken all the same; it waits, as\nevents do, until the service is back, at nine seconds.")
	cleo := order.Placement{Customer: order.Customer{Name: "Cleo", Email: "cleo@example.com"}, Currency: "EUR", Card: "tok_mc", Items: ann.Items[:1]}
	if err := s.follow(web, 6500*time.Millisecond, cleo, ""); err != nil || !s.At(11900*time.Millisecond) {
		return err
	}
	return s.sumUp(web, o)
}

// follow places an order and prints what happens to it, until nothing more can.
func (s *system) follow(web *browser, at time.Duration, p order.Placement, key string) error {
	if !s.At(at) {
		return nil
	}
	o, err := web.place(p, key)
	if err != nil {
		return err
	}
	s.Printf("202 Accepted: %s, %d.%02d %s", o.ID, o.Total/100, o.Total%100, o.Currency)
	return web.events(o.ID, func(f order.Fact) (done bool) {
		s.Printf("%s's order is %s", p.Customer.Name, f.Status)
		return f.Status == order.Delivered || f.Status == order.Declined
	})
}

func (s *system) sumUp(web *browser, ann order.Order) error {
	s.Tell("What is left: Ann's invoice, the mail that arrived, and the books.")
	var inv createinvoice.Invoice
	if err := web.get("/invoices/inv-"+ann.ID, &inv); err != nil {
		return err
	}
	for _, l := range inv.Lines {
		s.Printf("invoice: %d x %s %d.%02d", l.Quantity, l.SKU, l.Amount/100, l.Amount%100)
	}
	for _, l := range s.box.all() {
		s.Printf("mail to %s: %s", l.To, l.Subject)
	}
	var all struct{ Orders []order.Order }
	if err := web.get("/orders", &all); err != nil {
		return err
	}
	var billed int64
	for _, o := range all.Orders {
		if o.Has(order.Invoiced) {
			billed += o.Total
		}
	}
	charged := s.bank.Charged()
	s.Printf("%d orders; billed %d.%02d, charged %d.%02d EUR", len(all.Orders), billed/100, billed%100, charged/100, charged%100)
	if charged != billed {
		return fmt.Errorf("charged %d, billed %d", charged, billed)
	}
	return nil
}

// browser is what a customer uses.
type browser struct {
	ctx    context.Context
	client *http.Client
}

func (b *browser) do(method, path, key string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(b.ctx, method, "http://shop"+path, body)
	if err != nil {
		return nil, err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := b.client.Do(req)
	if err == nil && resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)) // what there is of it
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	return resp, err
}

func (b *browser) get(path string, v any) error {
	resp, err := b.do("GET", path, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(v)
}

func (b *browser) place(p order.Placement, key string) (o order.Order, err error) {
	data, err := json.Marshal(p)
	if err != nil {
		return o, err
	}
	resp, err := b.do("POST", "/orders", key, bytes.NewReader(data))
	if err != nil {
		return o, err
	}
	defer resp.Body.Close()
	return o, json.NewDecoder(resp.Body).Decode(&o)
}

// events reads the events of an order until told that it is done.
func (b *browser) events(id string, tell func(order.Fact) (done bool)) error {
	resp, err := b.do("GET", "/orders/"+id+"/events", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var f order.Fact
		if err := json.Unmarshal([]byte(data), &f); err != nil {
			return err
		}
		if tell(f) {
			return nil
		}
	}
	if b.ctx.Err() != nil {
		return nil // the play is over
	}
	return fmt.Errorf("the events of %s ended: %w", id, lines.Err())
}
