package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Handler handles one event. After nil the next event follows. An event whose error
// wraps ErrPoison is logged and skipped. After another error, or a panic, a durable
// Subscription retries the event before any other, and a live one ends with the error.
type Handler func(ctx context.Context, e Event) error

// SubscriptionConfig selects the events of a [Subscription]. The zero value selects
// all events, from the first one, live.
type SubscriptionConfig struct {
	Durable string        // the consumer that stores the position; live if empty: no position is stored
	After   uint64        // start after this stream sequence (Version.Seq); a durable consumer keeps its first start
	New     bool          // instead of After: start with the next event that is appended
	Entity  string        // only events of this entity; all if empty
	Types   []string      // only events of these types; all if empty
	AckWait time.Duration // after it, an event of a crashed process is redelivered; 30s if zero
	Backoff time.Duration // wait after a Handler's first error, doubled after each, up to 1m; 1s if zero
	Grace   time.Duration // for the Handler when ctx of Run ends; 10s if zero
}

func (c SubscriptionConfig) normal() (SubscriptionConfig, error) {
	err := errors.Join(setDefault("AckWait", &c.AckWait, 30*time.Second, 100*time.Millisecond),
		setDefault("Backoff", &c.Backoff, time.Second, 0), setDefault("Grace", &c.Grace, 10*time.Second, 0))
	if c.New && c.After > 0 {
		err = errors.Join(err, fmt.Errorf("%w: New and After are both set; use one", ErrConfig))
	}
	for _, token := range append([]string{cmp.Or(c.Durable, "none"), cmp.Or(c.Entity, "all")}, c.Types...) {
		err = errors.Join(err, checkID(token))
	}
	return c, err
}

// ConsumerConfig returns the consumer of a Subscription to the store with that name.
func ConsumerConfig(name string, cfg SubscriptionConfig) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal()
	c := jetstream.ConsumerConfig{
		Durable: cfg.Durable, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: cfg.After + 1,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait, MaxDeliver: -1,
		MaxAckPending: 1, // no event is delivered before the one that is retried
	}
	if cfg.New {
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverNewPolicy, 0
	}
	if len(cfg.Types) == 0 {
		cfg.Types = []string{"*"}
	}
	for _, kind := range cfg.Types {
		c.FilterSubjects = append(c.FilterSubjects, (&Store{name: name}).eventSubject(cmp.Or(cfg.Entity, "*"), "*", kind))
	}
	return c, errors.Join(err, checkID(name))
}

// Subscription calls a Handler for each stored event.
type Subscription struct {
	store    *Store
	cfg      SubscriptionConfig
	live     bool // without a durable consumer
	consumer jetstream.Consumer
	ran      atomic.Bool
}

// NewSubscription returns when the consumer exists: the Subscription receives each
// event that is appended after that. The context bounds this call only.
func NewSubscription(ctx context.Context, store *Store, cfg SubscriptionConfig) (*Subscription, error) {
	want, err := ConsumerConfig(store.name, cfg)
	if err != nil {
		return nil, err
	}
	want.Metadata = store.cfg.Metadata
	s := &Subscription{store: store, live: cfg.Durable == ""}
	s.cfg, _ = cfg.normal() // ConsumerConfig has checked it
	if s.live {
		s.consumer, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return store.orderedConsumer(ctx, want) })
	} else {
		s.consumer, err = ensure(ctx, consumerOf(store.stream, want.Durable), want, store.cfg.Bind, "MaxAckPending") // 1 keeps the order
	}
	if err != nil {
		return nil, wrap(err, "subscribe")
	}
	return s, nil
}

func (s *Store) orderedConsumer(ctx context.Context, want jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: want.FilterSubjects, DeliverPolicy: want.DeliverPolicy, OptStartSeq: want.OptStartSeq}
	if cfg.OptStartSeq == 0 { // New: nats.go can recreate the consumer, and must not skip events then
		info, err := s.stream.Info(ctx)
		if err != nil {
			return nil, err
		}
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, info.State.LastSeq+1
	}
	return s.stream.OrderedConsumer(ctx, cfg)
}

// Run calls h for each event, in stream order, one at a time. It ends with nil when ctx
// ends, at most Grace later if h respects its context (see Limits), or with the reason.
func (s *Subscription) Run(ctx context.Context, h Handler) error {
	if h == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	if s.ran.Swap(true) {
		return ErrAlreadyRun
	}
	if s.live { // otherwise the server keeps the consumer for 5 minutes
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = s.store.stream.DeleteConsumer(ctx, s.consumer.CachedInfo().Name)
		}()
	}
	if ctx.Err() != nil {
		return nil
	}
	it, err := s.consumer.Messages(jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return wrap(err, "subscription")
	}
	defer it.Stop()
	for {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			if err == nil && !s.live {
				warnIf(s.store.cfg.Log, "nak", msg, msg.Nak())
			}
			return nil
		}
		if errors.Is(err, jetstream.ErrNoHeartbeat) {
			err = checkConsumer(ctx, s.consumer, err)
		} else if err == nil {
			err = s.handle(ctx, h, msg)
		}
		if err != nil {
			return wrap(err, "subscription")
		}
	}
}

// handle calls h and acks its event, and returns the error with which Run ends.
func (s *Subscription) handle(ctx context.Context, h Handler, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	log := s.store.cfg.Log
	err = s.call(ctx, h, msg, meta)
	switch {
	case errors.Is(err, ErrPoison):
		log.Error("eventstore: event skipped", "subject", msg.Subject(), "err", err)
		if !s.live {
			warnIf(log, "term", msg, msg.TermWithReason("poison"))
		}
		return nil
	case s.live:
		return err
	case err != nil:
		log.Warn("eventstore: handler failed; the event is retried", "subject", msg.Subject(), "delivery", meta.NumDelivered, "err", err)
		warnIf(log, "nak", msg, msg.NakWithDelay(redeliveryDelay(s.cfg.Backoff, int(meta.NumDelivered))))
	default:
		warnIf(log, "ack", msg, msg.Ack())
	}
	return nil
}

// call calls h with the event in msg. The server does not redeliver it before Grace ends.
func (s *Subscription) call(ctx context.Context, h Handler, msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
	e, err := parse(msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPoison, err)
	}
	stopProgress := func() {}
	if !s.live {
		stopProgress = keepInProgress(s.cfg.AckWait, s.store.cfg.Log, func() []jetstream.Msg { return []jetstream.Msg{msg} })
		defer stopProgress()
	}
	work, cancel := withGrace(ctx, s.cfg.Grace, stopProgress)
	defer cancel()
	return callHandler(work, s.store.cfg.Log, msg.Subject(), h, e)
}
