package envelope

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// The kinds of spans, made once: a span that is not recorded costs little else.
var (
	asProducer = trace.WithSpanKind(trace.SpanKindProducer)
	asClient   = trace.WithSpanKind(trace.SpanKindClient)
	asConsumer = trace.WithSpanKind(trace.SpanKindConsumer)
	asServer   = trace.WithSpanKind(trace.SpanKindServer)
)

// Tracer publishes and handles messages, with a span for each.
type Tracer struct{ spans trace.Tracer }

// NewTracer returns a Tracer with spans of the provider. If it is nil, the global
// provider is used, which records nothing until it is set.
func NewTracer(provider trace.TracerProvider) *Tracer {
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return &Tracer{provider.Tracer("github.com/natspatterns/catalog/patterns/envelope")}
}

// Publish writes e to msg and stores msg in the stream of its subject. After an error,
// retry it with the same e.
func (t *Tracer) Publish(ctx context.Context, js jetstream.JetStream, msg *nats.Msg, e Envelope) error {
	return t.send(ctx, asProducer, "publish", msg, e, func(ctx context.Context) error {
		_, err := js.PublishMsg(ctx, msg)
		return err
	})
}

// Send writes e to msg and publishes msg with core NATS.
func (t *Tracer) Send(ctx context.Context, nc *nats.Conn, msg *nats.Msg, e Envelope) error {
	return t.send(ctx, asProducer, "publish", msg, e, func(ctx context.Context) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return nc.PublishMsg(msg)
	})
}

// Request writes e to msg, sends it as a request and returns the reply. It ends with
// ctx, or after 5 s if ctx has no deadline. Use [Read] for the envelope of the reply.
func (t *Tracer) Request(ctx context.Context, nc *nats.Conn, msg *nats.Msg, e Envelope) (reply *nats.Msg, err error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
	}
	err = t.send(ctx, asClient, "request", msg, e, func(ctx context.Context) (err error) {
		reply, err = nc.RequestMsgWithContext(ctx, msg)
		return err
	})
	return reply, err
}

func (t *Tracer) send(ctx context.Context, kind trace.SpanStartOption, name string, msg *nats.Msg, e Envelope, send func(context.Context) error) (err error) {
	produced := producedIn(e)
	ctx, span := t.start(ctx, kind, name, "send", msg.Subject, e, produced)
	defer end(span, &err)
	if !produced.IsValid() && trace.SpanContextFromContext(ctx).IsValid() { // otherwise it was produced before, as with an outbox
		c := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, c)
		e.TraceParent, e.TraceState = c["traceparent"], c["tracestate"]
	}
	if err := Write(msg, e); err != nil {
		return err
	}
	if err := send(ctx); err != nil {
		return fmt.Errorf("envelope: %s %s to %s: %w", name, e.ID, msg.Subject, err)
	}
	return nil
}

// Handler handles a message. Its context carries the span.
type Handler func(ctx context.Context, e Envelope, data []byte) error

// Handle calls handle with a message of a stream, and returns its error. The caller
// acks. A message that cannot be read is not handled: [ErrNoEnvelope], [ErrEnvelope].
func (t *Tracer) Handle(ctx context.Context, msg jetstream.Msg, handle Handler) error {
	return t.handle(ctx, asConsumer, msg.Subject(), msg.Headers(), msg.Data(), handle)
}

// Serve is Handle for core NATS. If msg is a request, the handler replies: [Write] the
// envelope of Next to the reply, then call msg.RespondMsg.
func (t *Tracer) Serve(ctx context.Context, msg *nats.Msg, handle Handler) error {
	kind := asConsumer
	if msg.Reply != "" {
		kind = asServer
	}
	return t.handle(ctx, kind, msg.Subject, msg.Header, msg.Data, handle)
}

func (t *Tracer) handle(ctx context.Context, kind trace.SpanStartOption, subject string, header nats.Header, body []byte, handle Handler) (err error) {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	e, data, err := Read(header, body)
	if err != nil {
		return fmt.Errorf("%w (message to %s)", err, subject)
	}
	produced := producedIn(e)
	if produced.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, produced)
	}
	ctx, span := t.start(ctx, kind, "process", "process", subject, e, produced)
	err = errPanic
	defer end(span, &err)
	return handle(ctx, e, data)
}

// Batch calls handle for many messages at once, in one span with a link to the trace of
// each message. The SDK keeps the last 128 links, unless its limit is set.
func (t *Tracer) Batch(ctx context.Context, msgs []jetstream.Msg, handle func(context.Context) error) (err error) {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	links := make([]trace.Link, 0, len(msgs))
	for _, m := range msgs {
		e, _, err := Read(m.Headers(), m.Data())
		if c := producedIn(e); err == nil && c.IsValid() {
			links = append(links, trace.Link{SpanContext: c, Attributes: []attribute.KeyValue{attribute.String("messaging.message.id", e.ID)}})
		}
	}
	ctx, span := t.spans.Start(ctx, "process", asConsumer, trace.WithLinks(links...), trace.WithAttributes(
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
		attribute.Int("messaging.batch.message_count", len(msgs)),
	))
	err = errPanic
	defer end(span, &err)
	return handle(ctx)
}

// start starts a span. Its name is the type of the message: a subject may contain
// identities, and there should be few names. Attributes are set only if recorded.
func (t *Tracer) start(ctx context.Context, kind trace.SpanStartOption, name, operation, subject string, e Envelope, produced trace.SpanContext) (context.Context, trace.Span) {
	opts := [2]trace.SpanStartOption{kind}
	n := 1
	if produced.IsValid() {
		opts[1] = trace.WithLinks(trace.Link{SpanContext: produced})
		n = 2
	}
	ctx, span := t.spans.Start(ctx, name+" "+e.Type, opts[:n]...)
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.name", name),
			attribute.String("messaging.operation.type", operation),
			attribute.String("messaging.destination.name", subject),
			attribute.String("messaging.message.id", e.ID),
			attribute.String("messaging.message.conversation_id", e.Correlation),
		)
	}
	return ctx, span
}

// errPanic is the error of a handler until it returns.
var errPanic = errors.New("envelope: the handler panicked")

// end ends a span with the error of the operation.
func end(span trace.Span, err *error) {
	if *err != nil {
		span.RecordError(*err)
		span.SetStatus(codes.Error, (*err).Error())
		span.SetAttributes(semconv.ErrorType(*err))
	}
	span.End()
}

// producedIn returns the trace context in which the message was produced.
func producedIn(e Envelope) trace.SpanContext {
	if e.TraceParent == "" {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": e.TraceParent, "tracestate": e.TraceState})
	return trace.SpanContextFromContext(ctx)
}
