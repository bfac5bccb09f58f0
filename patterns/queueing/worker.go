package queueing

import (
	"context"
	"fmt"
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
	ready    chan delivery
	freed    chan struct{} // has one element after a slot was freed

	mu       sync.Mutex               // guards what follows
	inflight map[uint64]jetstream.Msg // by stream sequence
}

// NewWorker finds or creates the queue. The context bounds this call only.
func NewWorker(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (*Worker, error) {
	stream, consumer, err := openQueue(ctx, js, queue, cfg, false)
	if err != nil {
		return nil, fmt.Errorf("queueing: queue %s: %w", queue, err)
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
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := w.js.Conn().FlushWithContext(flush); err != nil {
		w.cfg.Log.Warn("queueing: the last acks may be lost; their jobs will be redelivered", "queue", w.queue, "err", err)
	}
	return nil
}

// fetch requests as many jobs as there are free slots, until ctx ends. It requests by
// count: an open-ended Consume would buffer jobs that nothing keeps in progress.
func (w *Worker) fetch(ctx context.Context) error {
	for {
		n := w.awaitSlots(ctx)
		if n == 0 {
			return nil
		}
		errs := make(chan error, 1)
		batch, err := w.consumer.Consume(w.accept,
			jetstream.StopAfter(n), jetstream.PullMaxMessages(n), jetstream.PullHeartbeat(5*time.Second),
			jetstream.PullPriorityGroup(group), jetstream.PullPrioritized(w.cfg.Priority),
			jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
				select {
				case errs <- err:
				default: // the first error is enough to check the consumer
				}
			}))
		if err != nil {
			return err
		}
		if err := w.awaitBatch(ctx, batch, errs); err != nil {
			return err
		}
	}
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

// awaitBatch waits for the end of a batch. It returns an error if the consumer cannot
// deliver any more, which the server does not always report.
func (w *Worker) awaitBatch(ctx context.Context, batch jetstream.ConsumeContext, errs <-chan error) error {
	defer context.AfterFunc(ctx, func() {
		if w.js.Conn().IsConnected() {
			batch.Drain() // jobs that the server has sent are still handled
			return
		}
		batch.Stop() // without a connection none arrive, and Drain would wait for the server
	})()
	for {
		select {
		case <-batch.Closed():
			return nil
		case err := <-errs:
			w.cfg.Log.Debug("queueing: fetching is interrupted", "queue", w.queue, "err", err)
			if err := checkConsumer(ctx, w.consumer, err); err != nil {
				batch.Stop()
				<-batch.Closed()
				return err
			}
		}
	}
}
