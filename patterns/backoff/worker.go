package backoff

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Worker consumes the messages of a queue.
type Worker struct {
	cfg     Config
	queue   string
	js      jetstream.JetStream
	stream  jetstream.Stream
	cons    jetstream.Consumer
	ran     atomic.Bool
	idle    chan struct{} // one value for each idle handler
	fetched chan jetstream.Msg
}

// NewWorker finds or creates the queue. ctx bounds this call only.
func NewWorker(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (*Worker, error) {
	cfg, err := cfg.normal(queue)
	if err != nil {
		return nil, err
	}
	stream, cons, err := setup(ctx, js, queue, cfg)
	if err != nil {
		return nil, fmt.Errorf("backoff: worker of %s: %w", queue, err)
	}
	return &Worker{cfg: cfg, queue: queue, js: js, stream: stream, cons: cons,
		idle: make(chan struct{}, cfg.Concurrency), fetched: make(chan jetstream.Msg, cfg.Concurrency)}, nil
}

// Run calls handle for each message, up to Concurrency at a time, until ctx ends. Then
// it returns the messages that it did not start to the queue, waits up to Grace for the
// others, and returns nil. It returns an error only if the queue is gone or the
// connection is closed.
func (w *Worker) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	if w.ran.Swap(true) {
		return ErrAlreadyRun
	}
	work, stop := withGrace(ctx, w.cfg.Grace)
	defer stop()
	var handlers sync.WaitGroup
	for range w.cfg.Concurrency {
		w.idle <- struct{}{}
		handlers.Go(func() {
			for msg := range w.fetched {
				action, err := w.process(ctx, work, msg, handle)
				warnIf(w.cfg.Log, action, msg, err)
				w.idle <- struct{}{}
			}
		})
	}
	err := w.consume(ctx)
	close(w.fetched)
	handlers.Wait()
	if err != nil {
		return fmt.Errorf("backoff: worker of %s: %w", w.queue, err)
	}
	_ = w.js.Conn().FlushTimeout(time.Second) // a lost ack is a redelivery
	return nil
}

// consume fetches messages until ctx ends, or until none can be delivered any more.
func (w *Worker) consume(ctx context.Context) error {
	for n := w.acquire(ctx); n > 0; n = w.acquire(ctx) {
		err := w.fetch(n)
		if err == nil {
			continue
		}
		if gone := checkConsumer(ctx, w.cons, err); gone != nil && ctx.Err() == nil {
			return gone
		}
		w.cfg.Log.Debug("backoff: could not fetch; trying again", "queue", w.queue, "err", err)
		sleep(ctx, 100*time.Millisecond)
	}
	return nil
}

// acquire waits until a handler is idle and the policy permits an attempt. It returns
// the number of messages to fetch, so that no message waits in a buffer; 0 if ctx ends.
func (w *Worker) acquire(ctx context.Context) int {
	for ctx.Err() == nil { // select is random if both channels are ready
		select {
		case <-ctx.Done():
			return 0
		case <-w.idle:
		}
		ready, wait := w.cfg.Policy.Ready()
		if ready > 0 {
			more := min(ready-1, len(w.idle))
			for range more {
				<-w.idle
			}
			return 1 + more
		}
		w.idle <- struct{}{}
		w.cfg.Log.Info("backoff: the policy permits no attempt; this worker does not fetch", "queue", w.queue, "wait", wait)
		sleep(ctx, wait)
	}
	return 0
}

// fetch passes up to n messages to the idle handlers.
func (w *Worker) fetch(n int) error {
	defer func() {
		for range n {
			w.idle <- struct{}{}
		}
	}()
	batch, err := w.cons.Fetch(n, jetstream.FetchMaxWait(time.Second/2))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		w.fetched <- msg
		n--
	}
	return batch.Error()
}

// process makes an attempt, unless the message must wait or has failed. It returns the
// last action, and its error: then the message is redelivered after AckWait. ctx ends
// when Run stops, work after Grace.
func (w *Worker) process(ctx, work context.Context, msg jetstream.Msg, handle Handler) (action string, err error) {
	m, err := newMessage(msg)
	if err != nil {
		return "read the message", err
	}
	attempt, cancel := context.WithTimeout(work, w.cfg.Timeout)
	defer cancel()
	if m.Delivery > 1 {
		if copied, err := w.isCopied(attempt, m); err != nil {
			return "look up the copy", err
		} else if copied {
			return "ack", msg.Ack()
		}
	}
	earlier, _ := strconv.Atoi(m.Header.Get(HeaderDeliveries)) // before a schedule; absent is 0
	m.Delivery += earlier
	if m.Delivery > w.cfg.MaxDeliver {
		m.Delivery = w.cfg.MaxDeliver
		return w.fail(ctx, msg, m, errNoAck)
	}
	var done func(error)
	var wait time.Duration
	if ctx.Err() == nil {
		done, wait = w.cfg.Policy.Start(m.Delivery)
	}
	if done == nil { // this delivery is no attempt
		return w.schedule(ctx, msg, m, m.Delivery-1, wait)
	}
	err = callHandler(attempt, w.cfg.Log, m.Subject, handle, m)
	switch {
	case errors.Is(err, ErrPoison):
		done(nil)
	case err != nil && work.Err() != nil: // Grace ended the attempt
		done(context.Canceled)
	case errors.Is(err, context.Canceled): // the dependency ended it
		done(errors.New(err.Error()))
	default:
		done(err)
	}
	return w.resolve(ctx, msg, m, err)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
