// Command envelope plays a post office: parcels pass through services that share only the
// envelope. One of them forgets it.
package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/internal/wire"
	"github.com/natspatterns/catalog/patterns/envelope"
)

var play = demo.Play{
	Name:    "envelope",
	About:   "parcels pass through three services, a telex through the gateway, and an insurer forgets the envelope",
	Lasts:   15 * time.Second,
	Streams: []string{"PARCELS"},
	Scene:   [2]time.Duration{900 * time.Millisecond, 2 * time.Second},
	Draw: func(a wire.Arrow) bool {
		const others = "insurer gateway abroad auditor"
		return !strings.Contains(others, a.From) && !strings.Contains(others, a.To)
	},
	Cast: func(e *demo.Env) error { return (&post{Env: e, tracer: envelope.NewTracer(nil)}).cast() },
}

func main() { play.Main() }

type post struct {
	*demo.Env
	tracer *envelope.Tracer
}

func (p *post) cast() error {
	p.Go("counter", p.counter)
	p.Go("sorter", p.sorter)
	p.Go("courier", p.courier)
	p.Go("gateway", p.gateway)
	p.Go("abroad", p.abroad)
	p.Go("insurer", p.insurer)
	p.Go("auditor", p.auditor)
	return nil
}

// counter accepts parcels.
func (p *post) counter(ctx context.Context, nc *nats.Conn) error {
	js, err := p.JetStream(nc)
	if err != nil {
		return err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "PARCELS", Subjects: []string{"parcels.>"}, Metadata: p.Mark()}); err != nil {
		return err
	}
	posted := func(at time.Duration) {
		p.At(at)
		e := envelope.New("/counter", "parcel.posted", p.ID("parcel"))
		p.Printf("counter: accepts %s", e.ID)
		err = errors.Join(err, p.tracer.Publish(ctx, js, &nats.Msg{Subject: "parcels.posted", Data: []byte("a hat")}, e))
	}
	p.Tell("A parcel is posted. The sorter requests a van from the courier, and the courier\ndelivers. They do not know each other; each message names its cause.")
	posted(time.Second)
	p.At(4500 * time.Millisecond)
	p.Tell("A telex arrives from abroad, without an envelope, and with headers that would do harm\ninside. The gateway wraps it, and restores it before it leaves again.")
	p.At(8500 * time.Millisecond)
	p.Tell("An insurer joins. It writes a new envelope for each policy. Both it and the sorter\ncrash after their work, before the ack.")
	posted(9 * time.Second)
	return err
}

// consume handles the messages of a subject from now on. A service that crashes after the
// last parcel does not ack it, and receives it again.
func (p *post) consume(ctx context.Context, js jetstream.JetStream, name, subject string, crashes bool, h envelope.Handler) error {
	cons, err := js.CreateConsumer(ctx, "PARCELS", jetstream.ConsumerConfig{
		Durable: name, FilterSubject: subject, DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second})
	if err != nil {
		return err
	}
	c, err := cons.Consume(func(m jetstream.Msg) {
		if err := p.tracer.Handle(ctx, m, h); err != nil {
			p.Printf("%s: %v", name, err)
		} else if meta, err := m.Metadata(); err == nil && crashes && meta.NumDelivered == 1 && p.late() {
			p.Printf("%s: crashes before the ack", name)
			return
		}
		_ = m.Ack() // if it is lost, the message is redelivered
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	c.Stop()
	<-c.Closed()
	return nil
}

func (p *post) late() bool { return time.Since(p.Start()) > 8*time.Second }

func (p *post) sorter(ctx context.Context, nc *nats.Conn) error {
	js, err := p.JetStream(nc)
	if err != nil || !p.At(300*time.Millisecond) {
		return err
	}
	return p.consume(ctx, js, "sorter", "parcels.posted", true, func(ctx context.Context, parcel envelope.Envelope, _ []byte) error {
		time.Sleep(20 * time.Millisecond)
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		reply, err := p.tracer.Request(ctx, nc, &nats.Msg{Subject: "courier.van"}, parcel.Next("/sorter", "van.wanted", parcel.ID+".want"))
		if err != nil {
			return err
		}
		van, which, err := envelope.Read(reply.Header, reply.Data)
		if err != nil {
			return err
		}
		p.Printf("sorter: puts %s into %s, promised because of %s", parcel.ID, which, van.Causation)
		return p.tracer.Publish(ctx, js, &nats.Msg{Subject: "parcels.sorted"}, parcel.Next("/sorter", "parcel.sorted", parcel.ID+".sort"))
	})
}

func (p *post) courier(ctx context.Context, nc *nats.Conn) error {
	js, err := p.JetStream(nc)
	if err != nil || !p.At(400*time.Millisecond) {
		return err
	}
	if _, err := nc.Subscribe("courier.van", func(m *nats.Msg) {
		if err := p.tracer.Serve(ctx, m, func(ctx context.Context, want envelope.Envelope, _ []byte) error {
			reply := &nats.Msg{Data: []byte("van 7")}
			if err := envelope.Write(reply, want.Next("/courier", "van.promised", want.ID+".van")); err != nil {
				return err
			}
			return m.RespondMsg(reply)
		}); err != nil {
			p.Printf("courier: %v", err)
		}
	}); err != nil {
		return err
	}
	return p.consume(ctx, js, "courier", "parcels.sorted", false, func(ctx context.Context, sorted envelope.Envelope, _ []byte) error {
		time.Sleep(100 * time.Millisecond)
		p.Printf("courier: delivers %s, because of %s", sorted.Correlation, sorted.ID)
		return p.tracer.Publish(ctx, js, &nats.Msg{Subject: "parcels.delivered"}, sorted.Next("/courier", "parcel.delivered", sorted.ID+".deliver"))
	})
}

// gateway wraps telexes that come in, and unwraps them when they leave.
func (p *post) gateway(ctx context.Context, nc *nats.Conn) error {
	js, err := p.JetStream(nc)
	if err != nil || !p.At(500*time.Millisecond) {
		return err
	}
	if _, err := nc.Subscribe("telex.in", func(foreign *nats.Msg) {
		_, _, err := envelope.Read(foreign.Header, foreign.Data)
		p.Printf("gateway: %v", err)
		in, err := envelope.Wrap(foreign, envelope.New("/gateway", "parcel.posted", p.ID("parcel")))
		if err == nil {
			in.Subject = "parcels.posted"
			_, err = js.PublishMsg(ctx, in)
		}
		if err != nil {
			p.Printf("gateway: %v", err)
		}
	}); err != nil {
		return err
	}
	if !p.At(6 * time.Second) {
		return nil
	}
	stored, err := js.Stream(ctx, "PARCELS")
	if err != nil {
		return err
	}
	raw, err := stored.GetLastMsgForSubject(ctx, "parcels.posted")
	if err != nil {
		return err
	}
	p.Printf("gateway: inside it was %s of the conversation %s", raw.Header.Get("ce-id"), raw.Header.Get("ce-correlationid"))
	out := envelope.Unwrap(&nats.Msg{Header: raw.Header, Data: raw.Data})
	out.Subject = "telex.out"
	return nc.PublishMsg(out)
}

func (p *post) abroad(_ context.Context, nc *nats.Conn) error {
	if _, err := nc.Subscribe("telex.out", func(m *nats.Msg) {
		time.Sleep(10 * time.Millisecond)
		p.Printf("abroad: receives %s %v", m.Data, headers(m.Header))
	}); err != nil || !p.At(5*time.Second) {
		return err
	}
	m := &nats.Msg{Subject: "telex.in", Data: []byte("ONE HAT STOP"), Header: nats.Header{"LINE": {"7"}, "Nats-Rollup": {"all"}}}
	p.Printf("abroad: sends %s %v", m.Data, headers(m.Header))
	return nc.PublishMsg(m)
}

func headers(h nats.Header) (all []string) {
	for name, v := range h {
		all = append(all, name+": "+v[0])
	}
	slices.Sort(all)
	return all
}

// insurer does not use the envelope of the message that it handles.
func (p *post) insurer(ctx context.Context, nc *nats.Conn) error {
	js, err := p.JetStream(nc)
	if err != nil || !p.At(8700*time.Millisecond) {
		return err
	}
	return p.consume(ctx, js, "insurer", "parcels.posted", true, func(ctx context.Context, parcel envelope.Envelope, _ []byte) error {
		time.Sleep(300 * time.Millisecond)
		e := envelope.New("/insurer", "policy.made", p.ID("policy"))
		p.Printf("insurer: makes %s", e.ID)
		return p.tracer.Publish(ctx, js, &nats.Msg{Subject: "parcels.insured"}, e)
	})
}

// auditor prints the tree of causes of all stored messages.
func (p *post) auditor(ctx context.Context, nc *nats.Conn) error {
	js, err := p.JetStream(nc)
	if err != nil {
		return err
	}
	for _, at := range []time.Duration{3 * time.Second, 14 * time.Second} {
		if !p.At(at) {
			return nil
		}
		stored, err := js.Stream(ctx, "PARCELS")
		if err != nil {
			return err
		}
		var all []envelope.Envelope
		for seq := range stored.CachedInfo().State.LastSeq {
			m, err := stored.GetMsg(ctx, seq+1)
			if err != nil {
				return err
			}
			e, _, err := envelope.Read(m.Header, m.Data)
			if err != nil {
				return err
			}
			all = append(all, e)
		}
		p.Printf("auditor: the messages by their cause")
		p.tree(all, "", "  ")
	}
	p.Tell("The sorter handled the parcel twice, and its message is stored once: it had the same ID.\nThe insurer made two policies for one parcel, and nothing shows for which one.")
	return nil
}

// tree prints each message under its cause.
func (p *post) tree(all []envelope.Envelope, cause, indent string) {
	for _, e := range all {
		if e.Causation == cause {
			p.Printf("%s%s (%s)", indent, e.Type, e.ID)
			p.tree(all, e.ID, indent+"  ")
		}
	}
}
