package demo_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/internal/natstest"
)

// TestMain also is the programs that the scripts run.
func TestMain(m *testing.M) { testscript.Main(leakless{m}, programs) }

type leakless struct{ m *testing.M }

func (l leakless) Run() int { return natstest.Run(l.m) }

var programs = map[string]func(){
	"play": demo.Play{Name: "play", About: "a stream is made and a message stored", Lasts: time.Second, Streams: []string{"PLAY"}, Cast: cast}.Main,
	"endless": demo.Play{Name: "endless", About: "somebody waits", Lasts: time.Hour, Cast: func(e *demo.Env) error {
		e.Go("waiter", func(ctx context.Context, _ *nats.Conn) error {
			e.Printf("waiting")
			<-ctx.Done()
			e.Printf("drained")
			return nil
		})
		return nil
	}}.Main,
}

func cast(e *demo.Env) error {
	e.Go("writer", func(ctx context.Context, nc *nats.Conn) error {
		js, err := e.JetStream(nc)
		if err != nil {
			return err
		}
		if os.Getenv("FAIL") != "" {
			return errors.New("cannot go on")
		}
		// In memory: the server removes the files of a deleted stream a little later, and one
		// made anew at once may go on counting where it ended.
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "PLAY", Subjects: []string{"play.>"}, Storage: jetstream.MemoryStorage, Metadata: e.Mark()}); err != nil {
			return err
		}
		e.Tell("%s is written.", e.ID("message"))
		ack, err := js.Publish(ctx, "play.1", []byte("hello"))
		if err == nil {
			e.Printf("stored as %d", ack.Sequence)
		}
		return err
	})
	return nil
}

// In memory or on a socket, a client reaches a play's HTTP by name, also when it
// opens again.
func TestHTTP(t *testing.T) {
	for _, memory := range []bool{true, false} {
		s := natstest.Start(t)
		err := demo.Play{Name: "http", Lasts: 10 * time.Second, Cast: func(e *demo.Env) error {
			e.Go("web", func(ctx context.Context, _ *nats.Conn) error {
				client := e.Client()
				defer client.CloseIdleConnections()
				_, err := client.Get("http://web/")
				if err == nil || !strings.Contains(err.Error(), "no web is open") {
					return errors.New("reached what was not open")
				}
				var url string
				for range 2 {
					l, err := e.Listen("web")
					if err != nil {
						return err
					}
					if url != "" && e.URL("web") != url {
						return errors.New("opened elsewhere")
					}
					url = e.URL("web")
					srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hi") })}
					served := make(chan error)
					go func() { served <- srv.Serve(l) }()
					resp, err := client.Get("http://web/")
					if err != nil {
						return err
					}
					body, err := io.ReadAll(resp.Body)
					if string(body) != "hi" {
						return errors.Join(errors.New("wrong body"), err)
					}
					err = errors.Join(resp.Body.Close(), srv.Close())
					if err != nil || <-served == nil {
						return err
					}
				}
				return nil
			})
			return nil
		}}.Perform(t.Context(), demo.Stage{Server: s.Server, Memory: memory, Out: io.Discard})
		require.NoError(t, err)
	}
}

// A play on another server leaves no stream of its own there, and does not touch
// those of others.
func TestElsewhere(t *testing.T) {
	s := natstest.Listen(t)
	url, js, ctx := s.ClientURL(), s.JetStream("test"), t.Context()
	run := func(script string) {
		t.Run("with", func(t *testing.T) { // waits for the script, which runs in parallel
			testscript.Run(t, testscript.Params{Files: []string{script}, Setup: func(env *testscript.Env) error {
				env.Setenv("URL", url)
				return nil
			}})
		})
	}
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "PLAY", Subjects: []string{"play.>"}})
	require.NoError(t, err)
	run("testdata/elsewhere/foreign.txtar")
	require.NoError(t, js.DeleteStream(ctx, "PLAY"), "the foreign stream is still there")

	natstest.Eventually(t, 5*time.Second, func(ctx context.Context) error { // the server may still be at the files of the one before
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "PLAY", Subjects: []string{"play.>"}, Metadata: map[string]string{"catalog-demo": "play"}})
		return err
	})
	run("testdata/elsewhere/own.txtar")
	_, err = js.Stream(ctx, "PLAY")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)

	run("testdata/elsewhere/only.txtar")
	_, err = js.Stream(ctx, "PLAY")
	require.NoError(t, err, "-only leaves the stream to the other participants")
}

// How the program ends tells a shell, and a person, how it went.
func TestExit(t *testing.T) {
	_, port, err := net.SplitHostPort(natstest.Listen(t).Server.Server().Addr().String())
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: func(env *testscript.Env) error {
		env.Setenv("TAKEN", port)
		return nil
	}})
}

// Ctrl-C lets everyone leave in order, and is no failure.
func TestInterrupt(t *testing.T) {
	cmd := exec.Command("endless")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "waiting") {
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "drained")
	require.NoError(t, cmd.Wait())
}
