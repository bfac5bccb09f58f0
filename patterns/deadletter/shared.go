// Code generated from internal/shared by make stamp; DO NOT EDIT.

package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// codeNoLeader is JSClusterNotAvailErr: the cluster has no meta leader yet.
const codeNoLeader jetstream.ErrorCode = 10008

// callAPI makes a management call. The reply can be lost while a cluster elects a
// leader, and nats.go would wait for it until ctx ends. So an attempt takes at
// most 2 s, and all attempts together at most 10 s.
func callAPI[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 2*time.Second)
		v, err := call(attempt)
		done()
		if ctx.Err() != nil || apiCode(err) != codeNoLeader && !errors.Is(err, context.DeadlineExceeded) {
			return v, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// apiCode returns the JetStream error code in err, or 0.
func apiCode(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return 0
	}
	return api.ErrorCode
}

// isConflict reports whether the server refused a publish because the expected
// last sequence was wrong. Replicated streams use a code of their own.
func isConflict(err error) bool {
	code := apiCode(err)
	return code == jetstream.JSErrCodeStreamWrongLastSequence || code == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// isGone reports whether err means that the connection is closed, or that the
// stream, bucket or consumer does not exist: waiting does not help.
func isGone(err error) bool {
	for _, gone := range []error{nats.ErrConnectionClosed, jetstream.ErrConnectionClosed, jetstream.ErrStreamNotFound,
		jetstream.ErrBucketNotFound, jetstream.ErrConsumerNotFound, jetstream.ErrConsumerDeleted} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// checkConsumer returns an error if cons cannot deliver any more. It returns nil if
// cause is temporary: a disconnect, or the election of a leader.
func checkConsumer(ctx context.Context, cons jetstream.Consumer, cause error) error {
	if isGone(cause) {
		return cause
	}
	if _, err := callAPI(ctx, cons.Info); isGone(err) {
		return err
	}
	return nil
}

// checkID refuses an ID that cannot be one token of a subject.
func checkID(id string) error {
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("%w: %.80q; use 1 to 64 of A-Z a-z 0-9 _ -", ErrID, id)
	}
	return nil
}

// setDefault sets a Config field that is zero, and refuses a value below least or above
// most.
func setDefault[T ~int | ~int64](field string, v *T, value, least T, most ...T) error {
	if *v == 0 {
		*v = value
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v; use at least %v", ErrConfig, field, *v, least)
	}
	if len(most) > 0 && *v > most[0] {
		return fmt.Errorf("%w: %s is %v; use at most %v", ErrConfig, field, *v, most[0])
	}
	return nil
}

// consume calls handle for each message of cons until ctx ends, and then naks those
// that were prefetched. It calls fail if cons cannot deliver any more. wait returns
// after the end of ctx and of the last call of handle.
func consume(ctx context.Context, nc *nats.Conn, cons jetstream.Consumer, log *slog.Logger, fail func(error), handle func(jetstream.Msg),
	opts ...jetstream.PullConsumeOpt) (wait func(), err error) {
	c, err := cons.Consume(func(msg jetstream.Msg) {
		if ctx.Err() != nil {
			warnIf(log, "nak", msg, msg.Nak()) // without a nak it is redelivered only after AckWait
			return
		}
		handle(msg)
	}, append(opts, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		log.Warn("deadletter: the consumer is interrupted", "err", err)
		if !errors.Is(err, jetstream.ErrBadRequest) { // the server refuses every pull request
			err = checkConsumer(ctx, cons, err)
		}
		if err != nil {
			fail(err)
		}
	}))...)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() {
		if nc.IsConnected() {
			c.Drain()
			return
		}
		c.Stop() // Drain would wait for the server
	})
	return func() { <-c.Closed() }, nil
}

// resource is a stream, consumer or bucket T with the settings C.
type resource[T, C any] struct {
	name            string
	missing, exists error
	find            func(context.Context) (T, error)
	create, update  func(context.Context, C) (T, error)
	settings        func(T) C
}

func streamOf(js jetstream.JetStream, name string) resource[jetstream.Stream, jetstream.StreamConfig] {
	return resource[jetstream.Stream, jetstream.StreamConfig]{
		"stream " + name, jetstream.ErrStreamNotFound, jetstream.ErrStreamNameAlreadyInUse,
		func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, name) }, js.CreateStream, js.UpdateStream,
		func(s jetstream.Stream) jetstream.StreamConfig { return s.CachedInfo().Config },
	}
}

func consumerOf(s jetstream.Stream, name string) resource[jetstream.Consumer, jetstream.ConsumerConfig] {
	return resource[jetstream.Consumer, jetstream.ConsumerConfig]{
		"consumer " + name, jetstream.ErrConsumerNotFound, jetstream.ErrConsumerExists,
		func(ctx context.Context) (jetstream.Consumer, error) { return s.Consumer(ctx, name) }, s.CreateConsumer, s.UpdateConsumer,
		func(c jetstream.Consumer) jetstream.ConsumerConfig { return c.CachedInfo().Config },
	}
}

// ensure finds r, or creates it as want unless bind is set. It refuses what exists
// with a weaker setting, or with another value in a field that exact names.
func ensure[T, C any](ctx context.Context, r resource[T, C], want C, bind bool, exact ...string) (T, error) {
	v, err := callAPI(ctx, r.find)
	if errors.Is(err, r.missing) && !bind {
		v, err = callAPI(ctx, func(ctx context.Context) (T, error) { return r.create(ctx, want) })
		if errors.Is(err, r.exists) { // another process was faster
			v, err = callAPI(ctx, r.find)
		}
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", r.name, err)
	}
	if _, err = strengthen(r.settings(v), want, exact); err != nil {
		return v, fmt.Errorf("%w: %s has %w", ErrMismatch, r.name, err)
	}
	return v, nil
}

// provision is ensure, but it changes what ensure would refuse, and nothing else.
func provision[T, C any](ctx context.Context, r resource[T, C], want C, exact ...string) (T, error) {
	v, err := ensure(ctx, r, want, false, exact...)
	if !errors.Is(err, ErrMismatch) {
		return v, err
	}
	needed, _ := strengthen(r.settings(v), want, exact)
	v, err = callAPI(ctx, func(ctx context.Context) (T, error) { return r.update(ctx, needed) })
	if err != nil {
		return v, fmt.Errorf("%s: %w", r.name, err)
	}
	return v, nil
}

// strengthen returns have with each setting replaced that is weaker than want, or
// that exact names, and an error about the first of them. Weaker means: messages are
// lost, dropped unread, stored twice, not stored, reordered or redelivered early.
func strengthen[C any](have, want C, exact []string) (C, error) {
	var first error
	hs, ws := reflect.ValueOf(&have).Elem(), reflect.ValueOf(want)
	for i := range hs.NumField() {
		name, h, w := hs.Type().Field(i).Name, hs.Field(i), ws.Field(i)
		weaker := slices.Contains(exact, name)
		switch name {
		case "Subjects", "Retention", "SubjectTransform", "NoAck", "Sealed", "PersistMode", "DeliverPolicy", "OptStartSeq", "OptStartTime", "AckPolicy",
			"FilterSubject", "FilterSubjects", "ReplayPolicy", "HeadersOnly", "BackOff", "MemoryStorage", "PriorityPolicy", "PriorityGroups", "PinnedTTL":
			weaker = true
		case "AllowMsgTTL", "AllowMsgSchedules", "AllowAtomicPublish", "AllowDirect", "AllowRollup", "DenyDelete", "DenyPurge", "DiscardNewPerSubject":
			weaker = weaker || w.Bool()
		case "Discard", "Replicas", "Duplicates", "SubjectDeleteMarkerTTL", "LimitMarkerTTL", "AckWait":
			weaker = weaker || h.Int() < w.Int()
		case "History":
			weaker = weaker || h.Uint() < w.Uint()
		case "Storage": // file is less than memory
			weaker = weaker || h.Int() > w.Int()
		case "MaxAckPending": // -1 is unlimited
			weaker = weaker || h.Int() > 0 && h.Int() < w.Int()
		case "MaxAge", "TTL", "MaxDeliver", "InactiveThreshold":
			weaker = weaker || tighter(h, w)
		case "MaxMsgs", "MaxBytes": // with discard new they drop nothing
			weaker = weaker || tighter(h, w) && hs.FieldByName("Discard").Int()+ws.FieldByName("Discard").Int() == 0
		case "MaxMsgsPerSubject":
			weaker = weaker || w.Int() > 0 || tighter(h, w) && !hs.FieldByName("DiscardNewPerSubject").Bool()
		}
		if weaker && !reflect.DeepEqual(h.Interface(), w.Interface()) {
			first = cmp.Or(first, fmt.Errorf("%s %v, want %v", name, h, w))
			h.Set(w)
		}
	}
	return have, first
}

// tighter reports whether limit h is below limit w; 0 and -1 are unlimited.
func tighter(h, w reflect.Value) bool {
	return h.Int() > 0 && (w.Int() <= 0 || h.Int() < w.Int())
}

// progress keeps messages in progress while their handlers run. For a fast handler it
// is cheaper than keepInProgress: it has no goroutine, and one timer for all messages.
type progress struct {
	every time.Duration // a third of AckWait
	log   *slog.Logger

	mu       sync.Mutex // guards what follows
	inFlight map[jetstream.Msg]bool
	armed    bool // tick is going to be called
}

func newProgress(ackWait time.Duration, log *slog.Logger) *progress {
	return &progress{every: ackWait / 3, log: log, inFlight: map[jetstream.Msg]bool{}}
}

func (p *progress) start(msg jetstream.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight[msg] = true
	if !p.armed {
		p.armed = true
		time.AfterFunc(p.every, p.tick)
	}
}

func (p *progress) stop(msg jetstream.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.inFlight, msg)
}

func (p *progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for msg := range p.inFlight {
		warnIf(p.log, "send in-progress", msg, msg.InProgress())
	}
	p.armed = len(p.inFlight) > 0
	if p.armed {
		time.AfterFunc(p.every, p.tick)
	}
}

var fingerprintSeed = maphash.MakeSeed()

// fingerprint returns a hash of the payload and the headers of msg. It shows whether a
// handler has changed them, and costs less than a copy.
func fingerprint(msg jetstream.Msg) uint64 {
	sum := maphash.Bytes(fingerprintSeed, msg.Data())
	for name, values := range msg.Headers() { // in any order
		h := maphash.String(fingerprintSeed, name)
		for _, v := range values {
			h = 31*h + maphash.String(fingerprintSeed, v)
		}
		sum += h
	}
	return sum
}

// copyHeader returns a copy of h for a message that is published again. It leaves out
// the server's Nats-* headers, which are orders that were carried out: the server
// would refuse, deduplicate, schedule or expire the copy. It also leaves out names
// that begin with own, the prefix of this package's headers. nats.go receives names
// that it refuses to publish: each byte that it refuses becomes a "_".
func copyHeader(h nats.Header, own string) nats.Header {
	c := make(nats.Header, len(h)+4)
	for name, values := range h {
		low := strings.ToLower(name)
		if strings.HasPrefix(low, "nats-") || own != "" && strings.HasPrefix(low, strings.ToLower(own)) {
			continue
		}
		name = strings.Map(func(r rune) rune {
			if r <= ' ' || r > '~' || strings.ContainsRune("\"()/,:;<=>?@[\\]{}", r) {
				return '_'
			}
			return r
		}, name)
		if name != "" {
			c[name] = append(c[name], values...)
		}
	}
	return c
}

// errorText returns the text of err for a header: valid UTF-8 in one line, of at
// most 1,000 bytes.
func errorText(err error) string {
	text := err.Error()
	text = text[:min(len(text), 1000)]
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
}

// Message is a message as a [Handler] receives it. The handler may change it.
type Message struct {
	ID       string // the last token of the subject
	Subject  string
	Header   nats.Header
	Data     []byte
	Delivery int       // delivery attempt: 1 for the first
	Sequence uint64    // in the stream; 0 without a stream
	Time     time.Time // when it was stored; zero without a stream
}

// newMessage returns msg for a handler.
func newMessage(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, err
	}
	return Message{ID: lastToken(msg.Subject()), Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(),
		Delivery: int(meta.NumDelivered), Sequence: meta.Sequence.Stream, Time: meta.Timestamp}, nil
}

// lastToken returns the last token of a subject.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// callHandler calls handle with msg. A panic is logged with its stack and returned
// as an error: it fails this message only.
func callHandler[M any](ctx context.Context, log *slog.Logger, subject string, handle func(context.Context, M) error, msg M) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("deadletter: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return handle(ctx, msg)
}

// withGrace returns a context for handlers: it ends grace after ctx, or with stop.
func withGrace(ctx context.Context, grace time.Duration) (work context.Context, stop func()) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return work, func() { unhook(); cancel() }
}

// redeliveryDelay returns how long a message waits after a failed delivery attempt:
// first, doubled after each further attempt, up to one minute.
func redeliveryDelay(first time.Duration, delivery int) time.Duration {
	delay := first
	for ; delivery > 1 && delay < time.Minute; delivery-- {
		delay = min(2*delay, time.Minute)
	}
	return delay
}

// warnIf logs that an ack, nak or term failed, unless the message was acked before.
func warnIf(log *slog.Logger, action string, msg jetstream.Msg, err error) {
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		log.Warn("deadletter: could not "+action+"; the message can be redelivered", "subject", msg.Subject(), "err", err)
	}
}
