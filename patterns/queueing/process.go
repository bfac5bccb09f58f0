package queueing

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errNoAck is the reason of a job whose last delivery was never acknowledged.
var errNoAck = errors.New("no ack: each worker crashed, or was disconnected for longer than AckWait")

// process calls the handler and acknowledges by its result. It enforces MaxDeliver
// itself: beyond the consumer's own MaxDeliver a job would stay in the stream.
func (w *Worker) process(ctx context.Context, d delivery, handle Handler) {
	defer w.release(d)
	err := errNoAck // after MaxDeliver deliveries without an ack
	if ctx.Err() == nil && d.job.Delivery <= w.cfg.MaxDeliver {
		err = callHandler(ctx, w.cfg.Log, d.job.Subject, handle, d.job)
	}
	switch {
	case ctx.Err() != nil: // Grace is over: nakAll has returned the job
	case err == nil:
		warnIf(w.cfg.Log, "ack", d.msg, d.msg.Ack())
	case d.job.Delivery >= w.cfg.MaxDeliver || errors.Is(err, ErrPoison):
		warnIf(w.cfg.Log, "store the failed job", d.msg, w.storeFailed(ctx, d, err))
	default:
		warnIf(w.cfg.Log, "nak", d.msg, d.msg.NakWithDelay(redeliveryDelay(w.cfg.Backoff, d.job.Delivery)))
	}
}

// storeFailed copies the job to FAILED_<queue> and then terminates it. If the copy
// cannot be stored, the job is redelivered after AckWait and copied again. The copy is
// made from the stream, because the handler may have changed its message.
func (w *Worker) storeFailed(ctx context.Context, d delivery, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	job, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return w.stream.GetMsg(ctx, d.job.Sequence)
	})
	if err != nil {
		return err
	}
	if !job.Time.Equal(d.job.Time) {
		return errors.New("the stream was recreated and holds another job at this sequence")
	}
	reason, deliveries := errorText(cause), strconv.Itoa(min(d.job.Delivery, w.cfg.MaxDeliver))
	own := nats.Header{HeaderReason: {reason}, HeaderDeliveries: {deliveries}}
	failed := &nats.Msg{Subject: "failed." + w.queue + "." + d.job.ID, Header: copyHeader(job.Header, "Queue-"), Data: job.Data}
	maps.Copy(failed.Header, own)
	_, err = w.js.PublishMsg(ctx, failed)
	if isTooLarge(err) {
		own.Set(HeaderTruncated, "true")
		failed.Header, failed.Data = own, nil
		_, err = w.js.PublishMsg(ctx, failed)
	}
	if err != nil {
		return err
	}
	return d.msg.TermWithReason(reason)
}
