package datapump_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	// The service: only it knows the database.
	db, err := sql.Open("sqlite", "file:example?mode=memory&cache=shared")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }() // in memory: there is nothing to lose
	if _, err := db.ExecContext(ctx, "CREATE TABLE books (isbn TEXT PRIMARY KEY, title TEXT, copies INTEGER)"); err != nil {
		log.Fatal(err)
	}
	books := datapump.Table{Name: "books", Key: []string{"isbn"}, Columns: []datapump.Column{
		{Name: "isbn"}, {Name: "title"}, {Name: "copies", Type: datapump.Integer}}}
	pump, err := datapump.NewPump(ctx, js, "library", "sqlite", datapump.SQLite(db), []datapump.Table{books}, datapump.Config{})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- pump.Run(ctx) }()

	// A client: it knows the names of the table and of its columns.
	type Book struct {
		ISBN   string `json:"isbn"`
		Title  string `json:"title"`
		Copies int    `json:"copies"`
	}
	for i, book := range []Book{{"0-1", "Emma", 1}, {"0-2", "Ulysses", 2}, {"0-1", "Emma", 3}} {
		if err := datapump.Write(ctx, js, "library", "books", fmt.Sprint("delivery-", i), book); err != nil {
			log.Fatal(err)
		}
	}

	for pump.State().Position < 3 { // only this example waits for the rows
	}
	stop()
	fmt.Println("stopped:", <-done)
	var copies int
	if err := db.QueryRow("SELECT copies FROM books WHERE isbn = '0-1'").Scan(&copies); err != nil {
		log.Fatal(err)
	}
	fmt.Println("copies of Emma:", copies)
	// Output:
	// stopped: <nil>
	// copies of Emma: 3
}
