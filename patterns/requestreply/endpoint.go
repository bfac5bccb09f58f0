package requestreply

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config tunes a [Responder]. The zero Config is ready to use.
type Config struct {
	Version     string        // of the service, a semantic version; "0.0.0" if empty
	Description string        // of the service, for discovery
	Concurrency int           // requests handled at once; more requests wait; 256 if zero
	Timeout     time.Duration // of a request without HeaderTimeout; 30 s if zero
	Grace       time.Duration // how long handlers may go on after ctx has ended; 10 s if zero
	Log         *slog.Logger  // the cause of a reply with code 500; discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Version = cmp.Or(c.Version, "0.0.0")
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(
		setDefault("Concurrency", &c.Concurrency, 256, 1),
		setDefault("Timeout", &c.Timeout, 30*time.Second, 0),
		setDefault("Grace", &c.Grace, 10*time.Second, 0),
	)
	return c, err
}

// Endpoint is a subject and its handler.
type Endpoint struct {
	subject string
	each    bool
	handle  func(ctx context.Context, data []byte) ([]byte, error)
}

// Handle returns an endpoint for subject, such as "prices.quote". The result of handle
// is the reply. An [Error] is the reply as it is; any other error is logged, and the
// reply has code 500. The ctx of handle ends when the requester stops waiting.
func Handle[Req, Resp any](subject string, handle func(context.Context, Req) (Resp, error)) Endpoint {
	return Endpoint{subject: subject, handle: func(ctx context.Context, data []byte) ([]byte, error) {
		var req Req
		if err := json.Unmarshal(data, &req); err != nil {
			return nil, &Error{"400", fmt.Sprintf("the request cannot be decoded into %T: %v", req, err)}
		}
		resp, err := handle(ctx, req)
		if err != nil {
			return nil, err
		}
		return json.Marshal(resp)
	}}
}

// Each returns the endpoint without a queue group: every Responder receives each
// request, for [All].
func (e Endpoint) Each() Endpoint {
	e.each = true
	return e
}
