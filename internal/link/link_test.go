package link

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/natspatterns/catalog/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a server that reads lines into received.
type pipes struct {
	received chan string
	fail     error
}

func (p *pipes) InProcessConn() (net.Conn, error) {
	if p.fail != nil {
		return nil, p.fail
	}
	a, b := net.Pipe()
	go func() {
		_, _ = b.Write([]byte("PONG\r\n")) // the handshake is over
		buf := make([]byte, 100)
		for {
			n, err := b.Read(buf)
			if err != nil {
				close(p.received)
				return
			}
			p.received <- string(buf[:n])
		}
	}()
	return a, nil
}

func dial(t *testing.T, l *Link) net.Conn {
	c, err := l.InProcessConn()
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, len("PONG\r\n")))
	require.NoError(t, err)
	return c
}

// What a client sends arrives after the delay and in order, also when the delay
// becomes shorter.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pipes{received: make(chan string, 9)}
		l := New("ann", server, nil)
		c := dial(t, l)
		start := time.Now()
		for i, lag := range []time.Duration{time.Second, 2 * time.Second, 0} {
			l.Delay(lag)
			_, err := c.Write([]byte{byte('a' + i)})
			require.NoError(t, err)
		}
		require.Zero(t, time.Since(start), "the client does not wait")
		require.Equal(t, "a", <-server.received)
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, "b", <-server.received)
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, "c", <-server.received)
		require.Equal(t, 2*time.Second, time.Since(start))
		synctest.Wait()
		_, err := c.Write([]byte("d"))
		require.NoError(t, err)
		require.Equal(t, "d", <-server.received)
		require.NoError(t, c.Close())
	})
}

// Cut loses what is in transit; Down refuses new connections until Up.
func TestCutAndDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &pipes{received: make(chan string, 9)}
		rec := &wire.Recorder{}
		l := New("ann", server, rec)
		c := dial(t, l)
		l.Delay(time.Minute)
		_, err := c.Write([]byte("PUB a 0\r\n\r\n"))
		require.NoError(t, err)
		synctest.Wait()
		l.Cut()
		_, more := <-server.received
		require.False(t, more)
		_, err = c.Write([]byte("PUB b 0\r\n\r\n"))
		require.Error(t, err)
		require.Len(t, rec.Events(), 2, "the recorder has what the client sent")

		l.Down()
		_, err = l.InProcessConn()
		require.EqualError(t, err, "link: ann is down")
		l.Up()
		server.received = make(chan string, 9)
		require.NoError(t, dial(t, l).Close())
		server.fail = errors.New("no server")
		_, err = l.InProcessConn()
		require.ErrorIs(t, err, server.fail)
	})
}

// A writer that waits for room in the queue ends when the connection closes.
func TestWriteOnClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New("ann", &pipes{received: make(chan string, 9)}, nil)
		c := dial(t, l)
		l.Delay(time.Hour)
		for range 4097 { // one of them is carried
			_, err := c.Write([]byte("x"))
			require.NoError(t, err)
			synctest.Wait()
		}
		time.AfterFunc(time.Second, l.Cut)
		_, err := c.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewListener()
		require.Equal(t, "127.0.0.1:0", l.Addr().String())
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hi") })}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		client := l.Client()
		resp, err := client.Get("http://anywhere/")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "hi", string(body))
		require.NoError(t, resp.Body.Close())
		client.CloseIdleConnections()
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
		_, err = client.Get("http://anywhere/")
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, l.Close(), "twice is fine")
	})
}

// echo is a TCP server that sends back what it receives.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxy(t *testing.T) {
	p, err := NewProxy(0, echo(t))
	require.NoError(t, err)
	talk := func() error {
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("hi")); err != nil {
			return err
		}
		_, err = io.ReadFull(c, make([]byte, 2))
		return err
	}
	require.NoError(t, talk())

	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("hi"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 2))
	require.NoError(t, err)
	p.Down()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err, "Down cuts what is there")
	require.False(t, errors.Is(err, net.ErrClosed))
	require.Error(t, talk(), "and refuses the next one")
	p.Up()
	require.NoError(t, talk())

	_, port, err := net.SplitHostPort(p.Addr())
	require.NoError(t, err)
	taken, err := net.LookupPort("tcp", port)
	require.NoError(t, err)
	_, err = NewProxy(taken, "127.0.0.1:1")
	require.ErrorContains(t, err, "link: proxy to 127.0.0.1:1: ")
	require.NoError(t, p.Close())
	require.Error(t, talk())

	nobody, err := NewProxy(0, "127.0.0.1:1")
	require.NoError(t, err)
	c, err = net.Dial("tcp", nobody.Addr())
	require.NoError(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err, "without a server the client sees a closed connection")
	require.NoError(t, nobody.Close())
}

func TestDialTCP(t *testing.T) {
	l := New("ann", nil, nil)
	c, err := l.Dial("tcp", echo(t))
	require.NoError(t, err)
	_, err = c.Write([]byte("hi"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 2))
	require.NoError(t, err)
	require.NoError(t, c.Close())
}
