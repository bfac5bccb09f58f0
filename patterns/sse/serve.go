package sse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var errDisconnected = errors.New("disconnected: the client was too slow, or Run ended")

// ServeHTTP serves one client until it leaves or is disconnected. A client that sends
// Last-Event-ID first receives the events that it missed.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	subject, code, reason := s.admit(w, r)
	if code != 0 {
		http.Error(w, reason, code)
		return
	}
	if s.life.Err() != nil {
		panic(http.ErrAbortHandler) // after a response with an error, a browser never reconnects
	}
	after, resumes, err := lastEventID(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not buffer
	out := &eventWriter{w: w, rc: http.NewResponseController(w), timeout: s.cfg.WriteTimeout}
	retry := s.cfg.Retry + rand.N(s.cfg.Retry) // jitter: clients that were disconnected together reconnect one by one
	if err := out.write(fmt.Appendf(nil, "retry: %d\n\n", retry.Milliseconds()), false); err != nil {
		s.cfg.Log.Warn("sse: this connection cannot carry events", "err", err)
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default: // a browser reconnects after an end of the response, but not after an error
		s.cfg.Log.Warn("sse: a client is sent away; raise MaxClients or add a Server", "clients", s.cfg.MaxClients)
		return
	}
	if err := s.serve(r.Context(), out, subject, after, resumes || s.cfg.FromStart); err != nil && r.Context().Err() == nil {
		s.cfg.Log.Debug("sse: a client is disconnected and will reconnect", "subject", subject, "err", err)
	}
}

// serve replays what is stored after pos, adds the client to the live clients, and
// replays the few events that were stored in between. The long first replay needs no
// place in the client's buffer.
func (s *Server) serve(ctx context.Context, out *eventWriter, subject string, pos uint64, replay bool) (err error) {
	if replay {
		if pos, err = s.replay(ctx, out, subject, pos, s.lastSequence()); err != nil {
			return err
		}
	}
	c, last := s.addClient(subject)
	defer s.removeClient(c)
	if replay {
		pos, err = s.replay(ctx, out, subject, pos, last)
	} else { // the client can resume here if it is disconnected before its first event
		pos, err = last, out.write(fmt.Appendf(nil, "id: %d\n\n", last), true)
	}
	if err != nil {
		return err
	}
	return s.forward(ctx, out, c, pos)
}

// forward sends the live events after pos, and a comment when there are none.
func (s *Server) forward(ctx context.Context, out *eventWriter, c *client, pos uint64) (err error) {
	keepAlive := time.NewTicker(s.cfg.KeepAlive)
	defer keepAlive.Stop()
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-keepAlive.C:
			err = out.write([]byte(": keep-alive\n\n"), true)
		case e, ok := <-c.events:
			if !ok {
				return errDisconnected
			}
			if e.seq > pos {
				err = out.write(e.text, len(c.events) == 0)
				keepAlive.Reset(s.cfg.KeepAlive)
			}
		}
	}
	return err
}

// replay sends what is stored after pos, up to the sequence last. It returns the
// client's new position.
func (s *Server) replay(ctx context.Context, out *eventWriter, subject string, pos, last uint64) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	if pos > last {
		recreated, err := s.isShorterThan(ctx, pos)
		if err != nil || !recreated { // another Server was ahead of this one
			return pos, err
		}
		pos = 0
	}
	for pos < last {
		msg, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return s.stream.GetMsg(ctx, pos+1, jetstream.WithGetMsgSubject(subject))
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && msg.Sequence > last {
			break
		}
		if err != nil {
			return pos, err
		}
		if err := out.write(encode(msg.Sequence, msg.Data), false); err != nil {
			return pos, err
		}
		pos = msg.Sequence
	}
	return max(pos, last), out.write(nil, true)
}

// isShorterThan reports whether the stream ends before pos: it was recreated.
func (s *Server) isShorterThan(ctx context.Context, pos uint64) (bool, error) {
	stream, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return s.js.Stream(ctx, s.name) })
	if err != nil {
		return false, err
	}
	return stream.CachedInfo().State.LastSeq < pos, nil
}
