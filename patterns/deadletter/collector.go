package deadletter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const collector = "collector"        // the consumer of a stream of advisories
const scanInterval = 2 * time.Second // for messages without an advisory

// Collector stores dead letters for consumers that cannot be guarded. It collects the
// messages of a stream that reached the MaxDeliver of a consumer, or were terminated.
type Collector struct {
	*Channel
	stream string
	cons   jetstream.Consumer
	ran    atomic.Bool
	idle   map[string]uint64 // last delivered sequence of each consumer that had nothing in flight at the last scan
}

// AdvisoryStreamConfig returns the stream ADVISORIES_<stream>. It stores the advisories
// that the server publishes when a message reaches MaxDeliver or is terminated.
func AdvisoryStreamConfig(stream string, cfg Config) (jetstream.StreamConfig, error) {
	const event = "$JS.EVENT.ADVISORY.CONSUMER."
	s, err := StreamConfig(stream, cfg) // with the same limits
	s.Name, s.Subjects = "ADVISORIES_"+stream, []string{event + "MAX_DELIVERIES." + stream + ".*", event + "MSG_TERMINATED." + stream + ".*"}
	s.Retention, s.MaxMsgsPerSubject, s.MaxAge = jetstream.WorkQueuePolicy, 0, 0
	return s, err
}

// ConsumerConfig returns the consumer of a stream of advisories.
func ConsumerConfig(cfg Config) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{Durable: collector, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1, Metadata: maps.Clone(cfg.Metadata)}
}

// Provision creates the stream of a channel, or strengthens it to cfg, and what a
// [Collector] of each of streams needs.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config, streams ...string) error {
	letters, err := StreamConfig(name, cfg)
	wants := []jetstream.StreamConfig{letters}
	for _, stream := range streams {
		want, bad := AdvisoryStreamConfig(stream, cfg)
		wants, err = append(wants, want), cmp.Or(err, bad)
	}
	if err != nil {
		return err
	}
	for i, want := range wants {
		s, err := provision(ctx, streamOf(js, want.Name), want)
		if err == nil && i > 0 {
			_, err = provision(ctx, consumerOf(s, collector), ConsumerConfig(cfg))
		}
		if err != nil {
			return fmt.Errorf("deadletter: provision %s: %w", want.Name, err)
		}
	}
	return nil
}

// NewCollector finds or creates the channel, the stream of advisories and its consumer.
// From then on advisories are stored, also while no Collector runs.
func NewCollector(ctx context.Context, js jetstream.JetStream, name, stream string, cfg Config) (*Collector, error) {
	want, err := AdvisoryStreamConfig(stream, cfg)
	if err != nil {
		return nil, err
	}
	c, err := NewChannel(ctx, js, name, cfg)
	if err != nil {
		return nil, err
	}
	s, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("deadletter: collector of %s: %w", stream, err)
	}
	cons, err := ensure(ctx, consumerOf(s, collector), ConsumerConfig(cfg), cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("deadletter: collector of %s: %w", stream, err)
	}
	return &Collector{Channel: c, stream: stream, cons: cons, idle: map[string]uint64{}}, nil
}

// Run stores dead letters until ctx ends, and then returns nil within 10 s. It returns
// an error if the connection is closed, or the stream or consumer of advisories is gone.
func (c *Collector) Run(ctx context.Context) error {
	if c.ran.Swap(true) {
		return ErrAlreadyRun
	}
	run, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	wait, err := consume(run, c.js.Conn(), c.cons, c.cfg.Log, fail, func(msg jetstream.Msg) {
		if err := c.readAdvisory(run, msg); err != nil {
			warnIf(c.cfg.Log, "store a letter", msg, errors.Join(err, msg.NakWithDelay(scanInterval)))
			return
		}
		warnIf(c.cfg.Log, "ack", msg, msg.Ack())
	}, jetstream.PullMaxMessages(100))
	if err != nil {
		return fmt.Errorf("deadletter: collector of %s: %w", c.stream, err)
	}
	for run.Err() == nil {
		if err := c.scan(run); err != nil && run.Err() == nil {
			c.cfg.Log.Warn("deadletter: the scan failed; it is repeated", "stream", c.stream, "err", err)
		}
		select {
		case <-run.Done():
		case <-time.After(scanInterval):
		}
	}
	wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("deadletter: collector of %s: %w", c.stream, context.Cause(run))
}

// readAdvisory stores the letter of an advisory. An advisory has the sequence of a
// message, but not the message, which the stream may have removed after a term.
func (c *Collector) readAdvisory(ctx context.Context, msg jetstream.Msg) error {
	var a struct {
		Time       time.Time `json:"timestamp"`
		Consumer   string    `json:"consumer"`
		Seq        uint64    `json:"stream_seq"`
		Deliveries int       `json:"deliveries"`
		Reason     string    `json:"reason"`
	}
	if err := cmp.Or(json.Unmarshal(msg.Data(), &a), checkID(a.Consumer)); err != nil {
		c.cfg.Log.Error("deadletter: a message is not an advisory", "subject", msg.Subject(), "err", err)
		return nil
	}
	l, cause := Letter{Reason: Exhausted, Deliveries: a.Deliveries}, errors.New("unknown: the consumer's MaxDeliver is reached")
	if strings.Contains(msg.Subject(), ".MSG_TERMINATED.") {
		l.Reason, cause = Terminated, errors.New(a.Reason)
	}
	s, err := callAPI(ctx, streamOf(c.js, c.stream).find)
	var raw *jetstream.RawStreamMsg
	if err == nil {
		raw, err = getMsg(ctx, s, a.Seq, a.Time, nil)
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if raw != nil {
		return c.move(ctx, s, a.Consumer, raw, l, cause)
	}
	id := fmt.Sprintf("%s.%s.%d.", c.stream, a.Consumer, a.Seq)
	l.ID = id + "gone"
	return c.store(ctx, l, id+"*", cause, nil)
}

// move stores a message as a letter and then deletes it from a work queue, which would
// hold it forever. From other streams it is removed by their own limits.
func (c *Collector) move(ctx context.Context, s jetstream.Stream, consumer string, raw *jetstream.RawStreamMsg, l Letter, cause error) error {
	l.ID = letterID(c.stream+"."+consumer, raw.Sequence, raw.Time)
	if err := c.store(ctx, l, l.ID, cause, raw); err != nil || s.CachedInfo().Config.Retention != jetstream.WorkQueuePolicy {
		return err
	}
	_, err := callAPI(ctx, func(ctx context.Context) (any, error) { return nil, s.DeleteMsg(ctx, raw.Sequence) })
	return err // also if it is deleted meanwhile: then the next attempt finds the letter
}

// scan finds messages in a work queue whose advisory was not stored: they were delivered
// when a consumer had nothing in flight at a scan, and are still there at the next one.
func (c *Collector) scan(ctx context.Context) error {
	s, err := callAPI(ctx, streamOf(c.js, c.stream).find)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // it can be created again
	}
	if err != nil || s.CachedInfo().Config.Retention != jetstream.WorkQueuePolicy {
		return err
	}
	consumers, last := s.ListConsumers(ctx), c.idle
	c.idle = map[string]uint64{}
	for info := range consumers.Info() {
		if info.Config.MaxDeliver > 0 && info.NumAckPending == 0 {
			key := info.Name + info.Created.String()
			c.idle[key] = info.Delivered.Stream
			err = errors.Join(err, c.scanConsumer(ctx, s, info, last[key]))
		}
	}
	return errors.Join(err, consumers.Err())
}

// scanConsumer moves the messages of a consumer up to sequence last.
func (c *Collector) scanConsumer(ctx context.Context, s jetstream.Stream, info *jetstream.ConsumerInfo, last uint64) error {
	l, cause := Letter{Reason: Exhausted, Deliveries: info.Config.MaxDeliver}, errors.New("unknown: found in the queue, past the consumer's MaxDeliver")
	filters := info.Config.FilterSubjects
	if len(filters) == 0 {
		filters = []string{cmp.Or(info.Config.FilterSubject, ">")}
	}
	for _, filter := range filters {
		for raw, err := range messages(ctx, s, filter, s.CachedInfo().State.FirstSeq, last) {
			if err == nil {
				err = c.move(ctx, s, info.Name, raw, l, cause)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
