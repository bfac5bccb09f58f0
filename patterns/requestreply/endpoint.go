package requestreply

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Config tunes a [Responder]. The zero Config is ready to use.
type Config struct {
	Version     string        // of the service, as semantic versioning writes it; "0.0.0" if empty
	Description string        // of the service, for who discovers it
	Limit       int           // requests handled at once; those beyond wait; 256 if zero
	Timeout     time.Duration // for a request that does not say how long its asker waits; 30s if zero
	Grace       time.Duration // how long a stopping Responder finishes what it has begun; 10s if zero
	Log         *slog.Logger  // why a 500 was answered; discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Version = cmp.Or(c.Version, "0.0.0")
	c.Limit = cmp.Or(c.Limit, 256)
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Limit < 1 {
		return c, fmt.Errorf("%w: Limit is %d; it must be at least 1", ErrConfig, c.Limit)
	}
	if c.Timeout < 0 || c.Grace < 0 {
		return c, fmt.Errorf("%w: Timeout %v, Grace %v; neither may be negative", ErrConfig, c.Timeout, c.Grace)
	}
	return c, nil
}

// Endpoint is a subject and the function that answers there.
type Endpoint struct {
	subject string
	each    bool
	answer  func(ctx context.Context, data []byte) ([]byte, error)
}

// Handle returns an endpoint that answers on subject, such as "prices.quote". The
// handler returns the answer, or an [Error] to refuse with; any other error is
// logged and answered with 500. Its ctx ends when the asker stops waiting.
func Handle[Req, Resp any](subject string, handle func(context.Context, Req) (Resp, error)) Endpoint {
	return Endpoint{subject: subject, answer: func(ctx context.Context, data []byte) ([]byte, error) {
		var req Req
		if err := json.Unmarshal(data, &req); err != nil {
			return nil, &Error{"400", fmt.Sprintf("the request is no %T: %v", req, err)}
		}
		resp, err := handle(ctx, req)
		if err != nil {
			return nil, err
		}
		return json.Marshal(resp)
	}}
}

// checkSubject checks a subject as a whole: a server closes the connection of who
// sends a longer line than 4,096 bytes.
func checkSubject(subject string) error {
	if len(subject) > maxSubject {
		return fmt.Errorf("%w: a subject of %d bytes, at most %d", ErrID, len(subject), maxSubject)
	}
	for token := range strings.SplitSeq(subject, ".") {
		if err := checkID(token); err != nil {
			return fmt.Errorf("%w in subject %.80q", err, subject)
		}
	}
	return nil
}

const maxSubject = 1024

// Each returns the endpoint with every Responder answering each request, not one
// of them: for [All].
func (e Endpoint) Each() Endpoint {
	e.each = true
	return e
}
