package envelope

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	kv "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Tracer sends and handles messages, with a span for each.
type Tracer struct{ spans trace.Tracer }

// NewTracer makes spans by the provider; by the global one if nil, which makes none
// until it is set.
func NewTracer(provider trace.TracerProvider) *Tracer {
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return &Tracer{provider.Tracer("github.com/natspatterns/catalog/patterns/envelope")}
}

// Publish writes e on msg and stores it in the stream of its subject. After an error,
// call it again with the same e.
func (t *Tracer) Publish(ctx context.Context, js jetstream.JetStream, msg *nats.Msg, e Envelope) error {
	return t.send(ctx, trace.SpanKindProducer, "publish", msg, e, func(ctx context.Context) error {
		_, err := js.PublishMsg(ctx, msg)
		return err
	})
}

// Send writes e on msg and publishes it to whoever listens, if anyone does.
func (t *Tracer) Send(ctx context.Context, nc *nats.Conn, msg *nats.Msg, e Envelope) error {
	return t.send(ctx, trace.SpanKindProducer, "publish", msg, e, func(ctx context.Context) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return nc.PublishMsg(msg)
	})
}

// Request writes e on msg and waits for the answer, until ctx ends, or 5s if it has no
// deadline. Read the answer's envelope with [Read].
func (t *Tracer) Request(ctx context.Context, nc *nats.Conn, msg *nats.Msg, e Envelope) (answer *nats.Msg, err error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
	}
	err = t.send(ctx, trace.SpanKindClient, "request", msg, e, func(ctx context.Context) (err error) {
		answer, err = nc.RequestMsgWithContext(ctx, msg)
		return err
	})
	return answer, err
}

func (t *Tracer) send(ctx context.Context, kind trace.SpanKind, name string, msg *nats.Msg, e Envelope, do func(context.Context) error) (err error) {
	made := link(e)
	ctx, span := t.start(ctx, kind, name, "send", msg.Subject, e, made)
	defer end(span, &err)
	if !made.SpanContext.IsValid() && trace.SpanContextFromContext(ctx).IsValid() { // else it was made before, as with an outbox
		c := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, c)
		e.TraceParent, e.TraceState = c["traceparent"], c["tracestate"]
	}
	if err := Write(msg, e); err != nil {
		return err
	}
	if err := do(ctx); err != nil {
		return fmt.Errorf("envelope: %s %s to %s: %w", name, e.ID, msg.Subject, err)
	}
	return nil
}

// Handler does what a message is for. Its ctx carries the span.
type Handler func(ctx context.Context, e Envelope, data []byte) error

// Handle has h do what a message of a stream is for, and returns h's error; the
// caller acknowledges. What cannot be read, h does not see: [ErrNone], [ErrEnvelope].
func (t *Tracer) Handle(ctx context.Context, msg jetstream.Msg, h Handler) error {
	return t.handle(ctx, trace.SpanKindConsumer, msg.Subject(), msg.Headers(), msg.Data(), h)
}

// Serve is Handle for core NATS. If msg is a request, h answers it: [Write] the
// envelope of a consequence on the answer, then msg.RespondMsg.
func (t *Tracer) Serve(ctx context.Context, msg *nats.Msg, h Handler) error {
	kind := trace.SpanKindConsumer
	if msg.Reply != "" {
		kind = trace.SpanKindServer
	}
	return t.handle(ctx, kind, msg.Subject, msg.Header, msg.Data, h)
}

func (t *Tracer) handle(ctx context.Context, kind trace.SpanKind, subject string, header nats.Header, body []byte, h Handler) (err error) {
	if h == nil {
		return ErrHandler
	}
	e, data, err := Read(header, body)
	if err != nil {
		return fmt.Errorf("%w (message to %s)", err, subject)
	}
	made := link(e)
	if made.SpanContext.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, made.SpanContext)
	}
	ctx, span := t.start(ctx, kind, "process", "process", subject, e, made)
	err = errPanic
	defer end(span, &err)
	return h(ctx, e, data)
}

// Batch has h handle many messages at once, in one span that is linked to the making
// of each; the SDK keeps the last 128 links, unless its limit is set.
func (t *Tracer) Batch(ctx context.Context, msgs []jetstream.Msg, h func(context.Context) error) (err error) {
	if h == nil {
		return ErrHandler
	}
	links := make([]trace.Link, 0, len(msgs))
	for _, m := range msgs {
		e, _, err := Read(m.Headers(), m.Data())
		if l := link(e); err == nil && l.SpanContext.IsValid() {
			l.Attributes = []kv.KeyValue{kv.String("messaging.message.id", e.ID)}
			links = append(links, l)
		}
	}
	ctx, span := t.spans.Start(ctx, "process", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...), trace.WithAttributes(
		kv.String("messaging.system", "nats"),
		kv.String("messaging.operation.name", "process"),
		kv.String("messaging.operation.type", "process"),
		kv.Int("messaging.batch.message_count", len(msgs)),
	))
	err = errPanic
	defer end(span, &err)
	return h(ctx)
}

// start names a span by the message's type, for a subject may carry identities, and
// names of spans are to be few. What is not recorded costs no attributes.
func (t *Tracer) start(ctx context.Context, kind trace.SpanKind, name, typ, subject string, e Envelope, made trace.Link) (context.Context, trace.Span) {
	opts := []trace.SpanStartOption{trace.WithSpanKind(kind)}
	if made.SpanContext.IsValid() {
		opts = append(opts, trace.WithLinks(made))
	}
	ctx, span := t.spans.Start(ctx, name+" "+e.Type, opts...)
	if span.IsRecording() {
		span.SetAttributes(
			kv.String("messaging.system", "nats"),
			kv.String("messaging.operation.name", name),
			kv.String("messaging.operation.type", typ),
			kv.String("messaging.destination.name", subject),
			kv.String("messaging.message.id", e.ID),
			kv.String("messaging.message.conversation_id", e.Correlation),
		)
	}
	return ctx, span
}

// errPanic is a handler's error until it returns.
var errPanic = errors.New("envelope: the handler did not return, but panicked")

func end(span trace.Span, err *error) {
	if *err != nil {
		span.RecordError(*err)
		span.SetStatus(codes.Error, (*err).Error())
		span.SetAttributes(semconv.ErrorType(*err))
	}
	span.End()
}

// link points to where the message was made.
func link(e Envelope) trace.Link {
	if e.TraceParent == "" {
		return trace.Link{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": e.TraceParent, "tracestate": e.TraceState})
	return trace.Link{SpanContext: trace.SpanContextFromContext(ctx)}
}
