package queueing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Worker is one worker of a work queue.
type Worker struct {
	cfg      Config
	queue    string
	js       jetstream.JetStream
	stream   jetstream.Stream
	consumer jetstream.Consumer
	ran      atomic.Bool
	stopped  atomic.Bool // Grace is over
	ready    chan delivery
	freed    chan struct{} // has one element after a slot was freed

	mu       sync.Mutex               // guards what follows
	inflight map[uint64]jetstream.Msg // by stream sequence
}

// NewWorker finds or creates the queue. The context bounds this call only.
func NewWorker(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (*Worker, error) {
	stream, consumer, err := openQueue(ctx, js, queue, cfg, false)
	if err != nil {
		return nil, err
	}
	cfg, err = cfg.normal(queue)
	return &Worker{cfg: cfg, queue: queue, js: js, stream: stream, consumer: consumer, ready: make(chan delivery, cfg.Concurrency+cfg.Prefetch),
		freed: make(chan struct{}, 1), inflight: map[uint64]jetstream.Msg{}}, err
}

// Run calls handle for each job, Concurrency jobs at a time. When ctx ends, Run stops
// fetching and waits up to Grace for the handlers; then it naks the remaining jobs and
// cancels the handlers' context. It returns nil after all handlers have returned. Before
// ctx ends, it returns only if the queue was deleted or the connection was closed.
func (w *Worker) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	if w.ran.Swap(true) {
		return ErrAlreadyRun
	}
	work, stop := withGrace(ctx, w.cfg.Grace, w.nakAll)
	defer stop()
	stopProgress := keepInProgress(w.cfg.AckWait, w.cfg.Log, w.owned)
	var handlers sync.WaitGroup
	for range w.cfg.Concurrency {
		handlers.Go(func() {
			for d := range w.ready {
				w.process(work, d, handle)
			}
		})
	}
	err := w.fetch(ctx)
	close(w.ready) // accept is not called after the end of the last batch
	handlers.Wait()
	stopProgress()
	if err != nil {
		return fmt.Errorf("queueing: queue %s: %w", w.queue, err)
	}
	if err := w.js.Conn().FlushTimeout(time.Second); err != nil {
		w.cfg.Log.Warn("queueing: the last acks may be lost; their jobs will be redelivered", "queue", w.queue, "err", err)
	}
	return nil
}

// fetch requests as many jobs as there are free slots, until ctx ends. It requests by
// count: an open-ended Consume would buffer jobs that nothing keeps in progress.
func (w *Worker) fetch(ctx context.Context) error {
	for n := w.awaitSlots(ctx); n > 0; n = w.awaitSlots(ctx) {
		var gone atomic.Pointer[error]
		batch, err := w.consumer.Consume(w.accept,
			jetstream.StopAfter(n), jetstream.PullMaxMessages(n), jetstream.PullHeartbeat(5*time.Second),
			jetstream.PullPriorityGroup(group), jetstream.PullPrioritized(w.cfg.Priority),
			jetstream.ConsumeErrHandler(func(batch jetstream.ConsumeContext, err error) {
				// The server does not always report that a consumer was deleted.
				if err := checkConsumer(ctx, w.consumer, err); err != nil {
					gone.Store(&err)
					batch.Stop()
				}
			}))
		if err != nil {
			return err
		}
		unhook := context.AfterFunc(ctx, func() {
			if w.js.Conn().IsConnected() {
				batch.Drain() // jobs that the server has sent are still handled
				return
			}
			batch.Stop() // without a connection none arrive, and Drain would wait for the server
		})
		<-batch.Closed()
		unhook()
		if err := gone.Load(); err != nil {
			return *err
		}
	}
	return nil
}

// awaitSlots waits until more than half of the prefetch slots are free, and returns
// the number of free slots; 0 after ctx has ended.
func (w *Worker) awaitSlots(ctx context.Context) int {
	for ctx.Err() == nil {
		w.mu.Lock()
		n := cap(w.ready) - len(w.inflight)
		w.mu.Unlock()
		if n > w.cfg.Prefetch/2 {
			return n
		}
		select {
		case <-w.freed:
		case <-ctx.Done():
		}
	}
	return 0
}

// delivery is one delivery of a job to this worker.
type delivery struct {
	msg jetstream.Msg
	job Message
}

// accept queues a delivery for the handlers. After a disconnect longer than AckWait
// the server may redeliver a job that is still in flight here: it is not started a
// second time. A delivery beyond the free slots, or after Grace, gets a nak.
func (w *Worker) accept(msg jetstream.Msg) {
	job, err := newMessage(msg)
	if err != nil {
		warnIf(w.cfg.Log, "read a message", msg, err)
		return
	}
	w.mu.Lock()
	_, duplicate := w.inflight[job.Sequence]
	refused := w.stopped.Load() || len(w.inflight) == cap(w.ready)
	if !duplicate && !refused {
		w.inflight[job.Sequence] = msg
		w.ready <- delivery{msg, job} // never blocks: it has one slot for each job in flight
	}
	w.mu.Unlock()
	if refused && !duplicate {
		warnIf(w.cfg.Log, "nak", msg, msg.Nak())
	}
}

func (w *Worker) release(d delivery) {
	w.mu.Lock()
	delete(w.inflight, d.job.Sequence)
	w.mu.Unlock()
	select {
	case w.freed <- struct{}{}:
	default:
	}
}

// owned returns the jobs in flight, whether or not a handler has begun.
func (w *Worker) owned() []jetstream.Msg {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.inflight))
}

// nakAll returns all jobs in flight to the server, and makes accept refuse others. Their handlers may still run, but
// their results have no effect: a message is acknowledged once.
func (w *Worker) nakAll() {
	w.stopped.Store(true)
	for _, msg := range w.owned() {
		warnIf(w.cfg.Log, "nak", msg, msg.Nak())
	}
}
