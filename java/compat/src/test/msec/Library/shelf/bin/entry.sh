#!/bin/sh
SERVER_ENTRY=library.ServiceImpl
CLIENT_ENTRY=library.Client
