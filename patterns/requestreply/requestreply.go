package requestreply

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/synadia-io/orbit.go/natsext"
)

var (
	// ErrID reports a token that cannot be part of a subject.
	ErrID = errors.New("requestreply: bad id")
	// ErrConfig reports a Config that makes no sense; the text names the field.
	ErrConfig = errors.New("requestreply: bad config")
	// ErrNobody reports that no responder listens on the subject.
	ErrNobody = errors.New("requestreply: nobody answers there")
	// ErrCaptured reports that a stream stores what is sent on the subject, and
	// has answered in the service's place.
	ErrCaptured = errors.New("requestreply: the subject is captured by a stream")
	// ErrTooLarge reports a request or an answer larger than the server takes.
	ErrTooLarge = errors.New("requestreply: message too large")
	// ErrPayload reports a request that does not encode, or an answer that does
	// not decode.
	ErrPayload = errors.New("requestreply: bad payload")
)

// Error is how a responder refuses. Codes are the service's own; those of the
// pattern follow HTTP: 400 the request does not decode, 500 the handler failed,
// 503 the responder is stopping.
type Error struct {
	Code string
	Text string
}

func (e *Error) Error() string { return e.Code + ": " + e.Text }

// waits is how long a Request or All waits whose ctx has no deadline.
const waits = 5 * time.Second

// timeoutHeader tells the responder how long the asker waits, as a duration and not
// as a time: their clocks need not agree.
const timeoutHeader = "Request-Timeout"

// Request sends req on subject and returns the answer. Without a deadline in ctx it
// waits at most 5s.
func Request[Req, Resp any](ctx context.Context, nc *nats.Conn, subject string, req Req) (Resp, error) {
	var resp Resp
	ctx, cancel := deadline(ctx)
	defer cancel()
	msg, err := encode(ctx, nc, subject, req)
	if err != nil {
		return resp, err
	}
	answer, err := nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return resp, failed(subject, err)
	}
	return decode[Resp](answer)
}

// Many tunes [All]. The zero Many is ready to use.
type Many struct {
	Max   int           // answers to wait for; no limit if zero
	Stall time.Duration // silence after an answer that ends it; 300ms if zero
}

// All sends req on subject and yields the answers as they come, refusals as errors
// among them, until there are many.Max, or none came for many.Stall, or ctx ends.
// With nobody there it yields [ErrNobody]. Without a deadline in ctx it waits at
// most 5s.
func All[Req, Resp any](ctx context.Context, nc *nats.Conn, subject string, req Req, many Many) iter.Seq2[Resp, error] {
	return func(yield func(Resp, error) bool) {
		var none Resp
		many.Stall = cmp.Or(many.Stall, 300*time.Millisecond)
		if many.Max < 0 || many.Stall < 0 {
			yield(none, fmt.Errorf("%w: Max %d, Stall %v; neither may be negative", ErrConfig, many.Max, many.Stall))
			return
		}
		ctx, cancel := deadline(ctx)
		defer cancel()
		msg, err := encode(ctx, nc, subject, req)
		if err != nil {
			yield(none, err)
			return
		}
		opts := []natsext.RequestManyOpt{natsext.RequestManyStall(many.Stall)}
		if many.Max > 0 {
			opts = append(opts, natsext.RequestManyMaxMessages(many.Max))
		}
		answers, err := natsext.RequestManyMsg(ctx, nc, msg, opts...)
		if err != nil {
			yield(none, failed(subject, err))
			return
		}
		any := false
		for answer, err := range answers {
			if err != nil {
				if !any || !errors.Is(err, context.DeadlineExceeded) {
					yield(none, failed(subject, err))
				}
				return
			}
			any = true
			if !yield(decode[Resp](answer)) {
				return
			}
		}
	}
}

func deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, waits)
}

func encode[Req any](ctx context.Context, nc *nats.Conn, subject string, req Req) (*nats.Msg, error) {
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	data, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %T to %s: %w", ErrPayload, req, subject, err)
	}
	if most := nc.MaxPayload(); most > 0 && int64(len(data)) > most {
		return nil, fmt.Errorf("%w: %d bytes to %s, the server takes %d", ErrTooLarge, len(data), subject, most)
	}
	until, _ := ctx.Deadline()
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{timeoutHeader: {time.Until(until).String()}}}, nil
}

func decode[Resp any](answer *nats.Msg) (Resp, error) {
	var resp Resp
	code, text := answer.Header.Get(micro.ErrorCodeHeader), answer.Header.Get(micro.ErrorHeader)
	if code != "" || text != "" {
		return resp, &Error{code, text}
	}
	if stream := pubAck(answer.Data); stream != "" {
		return resp, fmt.Errorf("%w: %s; give the service a subject of its own", ErrCaptured, stream)
	}
	if err := json.Unmarshal(answer.Data, &resp); err != nil {
		return resp, fmt.Errorf("%w: %d bytes into %T: %w", ErrPayload, len(answer.Data), resp, err)
	}
	return resp, nil
}

// pubAck returns the stream whose acknowledgement, or refusal to store, data is; or
// "".
func pubAck(data []byte) string {
	if !bytes.HasPrefix(data, []byte(`{"stream":`)) && !bytes.HasPrefix(data, []byte(`{"error":`)) {
		return ""
	}
	var ack struct {
		Error *struct {
			Code        int    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
		Stream    string `json:"stream"`
		Seq       uint64 `json:"seq"`
		Domain    string `json:"domain"`
		Duplicate bool   `json:"duplicate"`
		Value     string `json:"val"` // of a counter
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if d.Decode(&ack) != nil || ack.Seq == 0 && (ack.Error == nil || ack.Error.ErrCode == 0) {
		return ""
	}
	return ack.Stream
}

func failed(subject string, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w: %s", ErrNobody, subject)
	}
	return fmt.Errorf("requestreply: request to %s: %w", subject, err)
}
