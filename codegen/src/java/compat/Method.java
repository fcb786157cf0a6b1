    @Override
    public @RESPONSE@ @METHOD@(
            RpcController controller, @REQUEST@ request) throws ServiceException {
        // The fields of the answer go here; a ServiceException is answered with -1000.
        return @RESPONSE@.newBuilder().build();
    }

