package orderstatus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/natspatterns/catalog/demos/ordering/createinvoice"
	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/demos/ordering/orderstorage"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

const (
	maxBody  = 64 << 10
	maxKey   = 200
	maxLimit = 100
	patience = 10 * time.Second // with a body that is on its way
)

// handler is the HTTP API.
func (s *service) handler(events http.Handler) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"POST /orders":     s.place,
		"GET /orders":      s.list,
		"GET /orders/{id}": s.get,
		"GET /orders/{id}/events": func(w http.ResponseWriter, r *http.Request) error {
			if _, err := s.find(r); err != nil {
				return err
			}
			events.ServeHTTP(w, r)
			return nil
		},
		"GET /invoices/{id}": s.invoice,
		"GET /readyz":        s.ready,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				p := problemOf(err)
				if p.Status >= 500 {
					s.cfg.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
				}
				if p.Status == http.StatusServiceUnavailable {
					w.Header().Set("Retry-After", "1")
				}
				reply(w, p.Status, p)
			}
		})
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	return s.guard(inOneVoice(http.NewCrossOriginProtection().Handler(mux)))
}

// guard lets only requests in that name this host: a page that resolves its own
// name to this address would otherwise be of the same origin.
func (s *service) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		host = strings.Trim(host, "[]") // an IPv6 address that came without a port
		if !slices.ContainsFunc(s.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
			reply(w, http.StatusMisdirectedRequest, refuse(http.StatusMisdirectedRequest, "Host", "is %.80q; this is %v", r.Host, s.cfg.Hosts))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *service) place(w http.ResponseWriter, r *http.Request) error {
	id, err := s.id(r.Header.Get("Idempotency-Key"))
	if err != nil {
		return err
	}
	// A client may be slow, but not for ever. Not the server's ReadTimeout: that would
	// end the streams of events, too.
	slow := http.NewResponseController(w)
	if err := slow.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var p order.Placement
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return bodyProblem(err)
	}
	switch _, err := d.Token(); {
	case errors.As(err, new(*http.MaxBytesError)), errors.Is(err, os.ErrDeadlineExceeded):
		return bodyProblem(err)
	case err != io.EOF:
		return refuse(http.StatusBadRequest, "", "there is more in the body than one order")
	}
	if err := slow.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return err
	}
	o, err := orderstorage.Place(r.Context(), s.nc, id, p)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/orders/"+o.ID)
	reply(w, http.StatusAccepted, o)
	return nil
}

// id names a new order: after the key, so that the same key finds the same order
// however often it is sent, whoever receives it.
func (s *service) id(key string) (string, error) {
	if key == "" {
		return s.cfg.NewID(), nil
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' || len(key) > maxKey {
			return "", refuse(http.StatusBadRequest, "Idempotency-Key", "must be up to %d printable ASCII characters", maxKey)
		}
	}
	sum := sha256.Sum256([]byte(key))
	return "order-" + hex.EncodeToString(sum[:10]), nil
}

// get tells of an order. One that the model has not heard of yet, its owner has.
func (s *service) get(w http.ResponseWriter, r *http.Request) error {
	o, err := s.find(r)
	if err == nil {
		reply(w, http.StatusOK, o)
	}
	return err
}

func (s *service) find(r *http.Request) (order.Order, error) {
	id := r.PathValue("id")
	if o, ok := s.model.get(id); ok {
		return o, nil
	}
	if err := checkID(id); err != nil {
		return order.Order{}, err
	}
	return orderstorage.Get(r.Context(), s.nc, id)
}

func (s *service) list(w http.ResponseWriter, r *http.Request) error {
	q, limit := r.URL.Query(), 20
	if v := q.Get("limit"); v != "" {
		var err error
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > maxLimit {
			return refuse(http.StatusBadRequest, "limit", "must be from 1 to %d", maxLimit)
		}
	}
	page, more, ok := s.model.list(q.Get("after"), limit)
	if !ok {
		return refuse(http.StatusBadRequest, "after", "names no order")
	}
	answer := map[string]any{"orders": page}
	if more {
		answer["next"] = "/orders?limit=" + strconv.Itoa(limit) + "&after=" + page[len(page)-1].ID
	}
	reply(w, http.StatusOK, answer)
	return nil
}

func (s *service) invoice(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := checkID(id); err != nil {
		return err
	}
	inv, err := createinvoice.Get(r.Context(), s.nc, id)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, inv)
	return nil
}

// ready reports whether an order placed now would be taken, and those placed before
// are known.
func (s *service) ready(w http.ResponseWriter, r *http.Request) error {
	if !s.nc.IsConnected() {
		return refuse(http.StatusServiceUnavailable, "", "not connected to NATS")
	}
	if !s.model.reached(s.from) {
		return refuse(http.StatusServiceUnavailable, "", "still reading what has happened")
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	var refused *requestreply.Error // that there is no such order, says the service that has to be there
	if _, err := orderstorage.Get(ctx, s.nc, "none"); err != nil && !(errors.As(err, &refused) && refused.Code == orderstorage.NotFound) {
		return refuse(http.StatusServiceUnavailable, "", "no orders are taken now")
	}
	reply(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

func checkID(id string) error {
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_')
	}
	if !ok {
		return refuse(http.StatusBadRequest, "id", "is %.80q; an id has 1 to 64 of A-Z a-z 0-9 _ -", id)
	}
	return nil
}
