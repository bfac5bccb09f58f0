package requestreply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// receive starts a goroutine for a request, because micro calls it for one request
// after the other. The goroutine does not use req: micro reads req after receive has
// returned.
func (r *Responder) receive(e Endpoint, req micro.Request) {
	reply, data := req.Reply(), req.Data()
	timeout, err := time.ParseDuration(req.Headers().Get(HeaderTimeout))
	ofRequester := err == nil && timeout > 0
	if !ofRequester {
		timeout = r.cfg.Timeout
	}
	select {
	case r.slots <- struct{}{}:
	case <-r.ctx.Done(): // Run has returned
		r.respond(e, reply, nil, &Error{"503", "the service is stopping"})
		return
	}
	go func() {
		defer func() { <-r.slots }()
		start := time.Now()
		result, late, err := r.call(e, data, timeout)
		r.stats[e.subject].count(time.Since(start), err)
		if err != nil && late && ofRequester && r.ctx.Err() == nil {
			return // the requester fails with context.DeadlineExceeded, and never with code 500 instead
		}
		r.respond(e, reply, result, err)
	}()
}

// call also reports whether the timeout has passed.
func (r *Responder) call(e Endpoint, data []byte, timeout time.Duration) (result []byte, late bool, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, timeout)
	defer cancel()
	err = callHandler(ctx, r.cfg.Log, e.subject, func(ctx context.Context, data []byte) (err error) {
		result, err = e.handle(ctx, data)
		return err
	}, data)
	return result, ctx.Err() != nil, err
}

// respond publishes the result of a handler, or its error in headers of micro.
func (r *Responder) respond(e Endpoint, reply string, result []byte, err error) {
	if limit := r.nc.MaxPayload(); err == nil && limit > 0 && int64(len(result)) > limit {
		err = fmt.Errorf("%w: a reply of %d bytes; the server accepts %d", ErrTooLarge, len(result), limit)
	}
	msg := &nats.Msg{Subject: reply, Data: result}
	if err != nil {
		public := publicError(err)
		if public == errInternal {
			r.cfg.Log.Error("requestreply: request failed", "subject", e.subject, "err", err)
		}
		msg.Data, msg.Header = nil, nats.Header{
			micro.ErrorCodeHeader: {cmp.Or(public.Code, "500")},
			micro.ErrorHeader:     {public.Text[:min(len(public.Text), maxErrorText)]},
		}
	}
	if err := r.nc.PublishMsg(msg); err != nil {
		r.cfg.Log.Error("requestreply: reply not published", "subject", e.subject, "err", err)
	}
}

// maxErrorText limits the text of an error reply in bytes: headers over the server's
// limit would not be published, and the requester would wait.
const maxErrorText = 4096

// errInternal is the reply for an error that is not an [Error]: its text can hold
// secrets.
var errInternal = &Error{"500", "internal error"}

func publicError(err error) *Error {
	var public *Error
	if !errors.As(err, &public) || public == nil {
		return errInternal
	}
	return public
}
