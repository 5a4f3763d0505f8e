package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"
)

// Configuration is what is looked at of a Lambda FunctionConfiguration.
type Configuration struct {
	FunctionName     string `json:"FunctionName"`
	FunctionArn      string `json:"FunctionArn"`
	Runtime          string `json:"Runtime"`
	Handler          string `json:"Handler"`
	Version          string `json:"Version"`
	CodeSize         int64  `json:"CodeSize"`
	MemorySize       int    `json:"MemorySize"`
	Timeout          int    `json:"Timeout"`
	LastModified     string `json:"LastModified"`
	State            string `json:"State"`
	StateReason      string `json:"StateReason"`
	LastUpdateStatus string `json:"LastUpdateStatus"`
	LastUpdateReason string `json:"LastUpdateStatusReason"`
}

// Deploy creates a function, or gives an existing one the configuration and the code, and
// returns when it takes invocations with them. config holds the members of Lambda's
// CreateFunction and UpdateFunctionConfiguration.
func (c *Client) Deploy(ctx context.Context, name string, archive []byte, config map[string]any, publish bool) (*Configuration, error) {
	path := FunctionPath(name)
	err := c.Call(ctx, http.MethodGet, path+"/configuration", nil, new(Configuration))
	var missing *Error
	switch {
	case errors.As(err, &missing) && missing.Status == http.StatusNotFound:
		create := maps.Clone(config)
		create["FunctionName"], create["Code"], create["Publish"] = name, map[string]any{"ZipFile": archive}, publish
		err = c.Call(ctx, http.MethodPost, "/2015-03-31/functions", create, nil)
	case err == nil:
		// Configuration first: the new code may need the new handler.
		if err = c.Call(ctx, http.MethodPut, path+"/configuration", config, nil); err != nil {
			break
		}
		if _, err = c.WaitActive(ctx, name); err != nil {
			break
		}
		err = c.Call(ctx, http.MethodPut, path+"/code", map[string]any{"ZipFile": archive, "Publish": publish}, nil)
	}
	if err != nil {
		return nil, err
	}
	return c.WaitActive(ctx, name)
}

// WaitActive waits until a function takes invocations with its newest code.
func (c *Client) WaitActive(ctx context.Context, name string) (*Configuration, error) {
	for {
		conf := new(Configuration)
		if err := c.Call(ctx, http.MethodGet, FunctionPath(name)+"/configuration", nil, conf); err != nil {
			return nil, err
		}
		switch {
		case conf.State == "Failed":
			return nil, fmt.Errorf("deploy %s: %s", name, conf.StateReason)
		case conf.LastUpdateStatus == "Failed":
			return nil, fmt.Errorf("update %s: %s (the former code goes on serving)", name, conf.LastUpdateReason)
		case conf.State == "Active" && conf.LastUpdateStatus != "InProgress":
			return conf, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// FunctionURL returns a function's URL, making it first where there is none.
func (c *Client) FunctionURL(ctx context.Context, name string) (string, error) {
	path := "/2021-10-31/functions/" + name + "/url"
	var u struct{ FunctionUrl string } // AWS's spelling
	err := c.Call(ctx, http.MethodGet, path, nil, &u)
	var missing *Error
	if errors.As(err, &missing) && missing.Status == http.StatusNotFound {
		err = c.Call(ctx, http.MethodPost, path, map[string]string{"AuthType": "NONE"}, &u)
	}
	return u.FunctionUrl, err
}
