package requestreply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// maxText is how much of a refusal's text is sent: headers are not for more, and
// one too large to send would leave the asker waiting.
const maxText = 4096

// take begins a request and returns: micro calls it for one request after the
// other. It touches req no more once another goroutine has the request, because
// micro reads it when take returns.
func (r *Responder) take(e Endpoint, req micro.Request) {
	reply, data := req.Reply(), req.Data()
	timeout, err := time.ParseDuration(req.Headers().Get(timeoutHeader))
	told := err == nil && timeout > 0
	if !told {
		timeout = r.cfg.Timeout
	}
	select {
	case r.slots <- struct{}{}:
	case <-r.ctx.Done(): // Run is over
		r.respond(e, reply, nil, &Error{"503", "the service is stopping"})
		return
	}
	job := func() {
		defer func() { <-r.slots }()
		start := time.Now()
		answer, late, err := r.call(e, data, timeout)
		r.stats[e.subject].count(time.Since(start), err)
		// Last: the connection's writer tends to run where this goroutine has ended.
		if told && err != nil && late && r.ctx.Err() == nil {
			return // its asker, who waits no more, must learn that it was too late, not that it failed
		}
		r.respond(e, reply, answer, err)
	}
	select {
	case r.jobs <- job:
	default:
		r.workers.Go(func() { r.work(job) })
	}
}

// work does job, and then others: a goroutine that has grown its stack is worth
// keeping. Of those with nothing to do, a few stay.
func (r *Responder) work(job func()) {
	for job != nil {
		job()
		job = nil
		select {
		case r.idle <- struct{}{}:
			select {
			case job = <-r.jobs:
			case <-r.ctx.Done():
			}
			<-r.idle
		default:
		}
	}
}

// call also reports whether time ran out.
func (r *Responder) call(e Endpoint, data []byte, timeout time.Duration) (answer []byte, late bool, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
		late = ctx.Err() != nil
	}()
	answer, err = e.answer(ctx, data)
	return answer, late, err
}

func (r *Responder) respond(e Endpoint, reply string, answer []byte, err error) {
	msg := &nats.Msg{Subject: reply, Data: answer}
	if most := r.nc.MaxPayload(); err == nil && most > 0 && int64(len(answer)) > most {
		err = fmt.Errorf("%w: an answer of %d bytes", ErrTooLarge, len(answer))
	}
	if err != nil {
		refused := refusal(err)
		if refused == internal {
			r.cfg.Log.Error("request failed", "subject", e.subject, "err", err)
		}
		text := refused.Text[:min(len(refused.Text), maxText)]
		msg.Data, msg.Header = nil, nats.Header{micro.ErrorCodeHeader: {cmp.Or(refused.Code, "500")}, micro.ErrorHeader: {text}}
	}
	if err := r.nc.PublishMsg(msg); err != nil {
		r.cfg.Log.Error("answer not sent", "subject", e.subject, "err", err)
	}
}

// internal is all that is told of an error that is no refusal.
var internal = &Error{"500", "internal error"}

// refusal is what the outside may know of err.
func refusal(err error) *Error {
	refused := internal
	_ = errors.As(err, &refused) // else it stays
	return refused
}
