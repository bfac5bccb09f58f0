package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Go has f act as the participant called name, on a connection of its own. Its
// error ends the play: a failure that the story wants is handled in f.
func (e *Env) Go(name string, f func(ctx context.Context, nc *nats.Conn) error) {
	e.names = append(e.names, name)
	if e.stage.Only != "" && e.stage.Only != name {
		return
	}
	nc, err := e.connect(name)
	if err != nil {
		e.end(fmt.Errorf("%s: %w", name, err))
		return
	}
	e.mu.Lock()
	e.acting = append(e.acting, name)
	e.mu.Unlock()
	e.cast.Go(func() {
		defer e.leave(name)
		if err := f(e.ctx, nc); err != nil {
			e.end(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// leave takes name off the list of those that are acting.
func (e *Env) leave(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.Index(e.acting, name)
	e.acting = slices.Delete(e.acting, i, i+1)
}

// present lists who is acting.
func (e *Env) present() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.acting)
}

func (e *Env) connect(name string) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(200 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			e.stage.Log.Warn(err.Error(), "participant", name, "subject", subject)
		}),
	}
	var nc *nats.Conn
	var err error
	domain := ""
	if e.stage.Server != nil {
		nc, err = nats.Connect("", append(opts, nats.InProcessServer(e.Line(name)))...)
	} else {
		nc, domain, err = e.stage.Connect(name, append(opts, nats.SetCustomDialer(e.Line(name)))...)
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns, e.domain = append(e.conns, nc), domain
	return nc, nil
}

// JetStream returns the JetStream API of nc, in the domain that the user's NATS
// context names, if it does.
func (e *Env) JetStream(nc *nats.Conn) (jetstream.JetStream, error) {
	e.mu.Lock()
	domain := e.domain
	e.mu.Unlock()
	if domain != "" {
		return jetstream.NewWithDomain(nc, domain)
	}
	return jetstream.New(nc)
}
